-- The hooks that Slurm's burst_buffer/lua plugin calls: a job's output is finalized as its owner.
--
-- Lua 5.1 to 5.4, Slurm 22.05 and later. Stands beside slurm.conf; see README.md. Success is
-- reported if and only if the finalizer reported it: whatever is killed in between is an error.

local CONFIG = {
	bin = "/opt/poststage/bin",         -- where finalize and poststage are
	site = "/etc/poststage/site.toml",  -- the site's settings
	spool = "/var/spool/poststage",     -- what the hooks remember and log; SlurmUser's alone
	directive = "BB_LUA",               -- Directive= of burst_buffer.conf
	deadline_s = 86100,                 -- StageOutTimeout less time for the last sync
	become = "setpriv",                 -- "sudo" where SlurmUser is not root
	poll = false,                       -- true from Slurm 24.05 on: start, then be asked
	registered = false,                 -- true where the site has a state_root: no statedir needed
}

local REASON_MAX = 120 -- characters that squeue and scontrol show
local KNOWN = { statedir = true, publish = true, pool = true, capacity = true }
local RUN_AGAIN = 75
-- The owner's processes write to files of ours in the spool: 128 MiB and no more.
local BOUNDED = "cd / && ulimit -f 262144 && "

-- ---- small things ----------------------------------------------------------------------------

local function quote(text)
	return "'" .. string.gsub(tostring(text), "'", "'\\''") .. "'"
end

-- The exit status of a shell command; 128 + N for signal N; 127 if there was no telling.
local function run(command)
	local first, how, code = os.execute(command)
	if type(first) == "number" then -- Lua 5.1: what wait(2) says
		if first < 0 then return 127 end
		if first % 128 ~= 0 then return 128 + first % 128 end
		return math.floor(first / 256)
	end
	if type(code) ~= "number" then return 127 end
	return how == "signal" and 128 + code or code
end

local function output_of(command)
	local pipe = io.popen(command, "r")
	local text = pipe and pipe:read("*a") or ""
	if pipe then pipe:close() end
	return text
end

local function read_file(path)
	local file = path and io.open(path, "r")
	local text = file and file:read("*a")
	if file then file:close() end
	return text
end

-- One line of printable ASCII, as long as the scheduler shows.
local function reason_of(text)
	return (string.gsub(text, "[^\32-\126]", "?")):sub(1, REASON_MAX)
end

local function failed(text)
	return slurm.ERROR, reason_of(text)
end

local function spool(job_id, kind)
	return CONFIG.spool .. "/" .. job_id .. "." .. kind
end

local function number_of(value)
	local digits = tostring(value or ""):match("^(%d+)%.?0*$")
	return digits and tonumber(digits)
end

-- ---- what the job script asks for -------------------------------------------------------------

-- `key=value` and `key="value with spaces"` of one directive line, added to `found`.
local function add_options(found, line)
	local rest = line
	while rest:match("%S") do
		local key, value, tail = rest:match('^%s*([%w_]+)="([^"]*)"(.*)$')
		if not key then key, value, tail = rest:match("^%s*([%w_]+)=(%S+)(.*)$") end
		if not key then return "option " .. rest:match("%S+") .. " is not key=value" end
		if not KNOWN[key] then return "option " .. key .. " is not known (statedir, publish)" end
		if key == "statedir" then
			found.statedirs[#found.statedirs + 1] = value
		else
			found[key] = value
		end
		rest = tail
	end
	return nil
end

local function bad_option(found)
	if found.publish and found.publish ~= "file" and found.publish ~= "dataset" then
		return "publish=" .. found.publish .. " is neither file nor dataset"
	end
	for _, path in ipairs(found.statedirs) do
		if path:sub(1, 1) ~= "/" then return "statedir=" .. path .. " is not an absolute path" end
		if path:match("%c") then return "statedir has a control character" end
		if (path .. "/"):match("/%.%.?/") then return "statedir=" .. path .. " has . or .. in it" end
		local left = path:gsub("%%[jAau%%]", "")
		if left:match("%%") then return "statedir=" .. path .. " knows %j %A %a %u %% only" end
	end
	if #found.statedirs == 0 and not CONFIG.registered then return "has no statedir=" end
	return nil
end

-- The options on the job's directive lines; nil and why if they make no sense. As in Slurm, only
-- lines above the script's first command count.
local function options_of(script)
	local text = read_file(script)
	if not text then return nil, "the job script cannot be read" end
	local found = { statedirs = {} }
	for line in text:gmatch("[^\r\n]+") do
		if line:sub(1, 1) ~= "#" then break end
		local rest = line:match("^#" .. CONFIG.directive .. "(.*)$")
		if rest and (rest == "" or rest:match("^%s")) then
			local wrong = add_options(found, rest)
			if wrong then return nil, wrong end
		end
	end
	local wrong = bad_option(found)
	if wrong then return nil, wrong end
	return found
end

-- ---- the job, as it is remembered -------------------------------------------------------------

-- What Slurm tells of the job in numbers: uid, gid, array job, array task. Not by scontrol: its
-- line holds the job's name, which can say anything.
local function asked(job_id)
	local told = output_of("squeue -h -t all -o '%A %U %G %F %K' -j " .. quote(job_id) .. " 2>/dev/null")
	for line in told:gmatch("[^\n]+") do
		local id, uid, gid, array, task = line:match("^(%d+) (%d+) (%d+) (%d+) (%S+)$")
		if id == tostring(job_id) then
			return { uid = uid, gid = gid, A = array, a = task:match("^%d+$") or "0" }
		end
	end
	return {}
end

-- A state directory with what stands for the job filled in.
local function filled(path, job)
	local values = { j = job.id, ["%"] = "%", u = job.user, A = job.id, a = "0" }
	if path:match("%%[Aa]") then
		local told = asked(job.id)
		values.A, values.a = told.A or values.A, told.a or values.a
	end
	if path:match("%%u") then
		values.u = output_of("id -nu " .. quote(job.uid) .. " 2>/dev/null"):match("^(%S+)")
		if not values.u then return nil end
	end
	return (path:gsub("%%(.)", values))
end

local function made_job(job_id, uid, gid, script)
	local options, wrong = options_of(script)
	if not options then return nil, wrong end
	local job = { id = job_id, uid = uid, gid = gid, publish = options.publish, statedirs = {} }
	for i, path in ipairs(options.statedirs) do
		job.statedirs[i] = filled(path, job)
		if not job.statedirs[i] then return nil, "uid " .. uid .. " has no name for %u" end
	end
	return job
end

local function remember(job)
	local lines = { "uid " .. job.uid, "gid " .. job.gid }
	if job.publish then lines[#lines + 1] = "publish " .. job.publish end
	for _, path in ipairs(job.statedirs) do lines[#lines + 1] = "statedir " .. path end
	run("umask 077; mkdir -p " .. quote(CONFIG.spool .. "/log"))
	local path = spool(job.id, "job")
	local file, why = io.open(path .. ".new", "w")
	if not file then return why end
	local written = file:write(table.concat(lines, "\n"), "\nend\n")
	if not file:close() or not written then return path .. " cannot be written" end
	local renamed, refused = os.rename(path .. ".new", path)
	return not renamed and refused or nil
end

local function remembered(job_id)
	local text = read_file(spool(job_id, "job"))
	if not text or not text:match("\nend\n$") then return nil end
	local job = { id = job_id, statedirs = {} }
	for key, value in text:gmatch("(%l+) ([^\n]+)\n") do
		if key == "statedir" then
			job.statedirs[#job.statedirs + 1] = value
		else
			job[key] = value
		end
	end
	job.uid, job.gid = number_of(job.uid), number_of(job.gid)
	return job.uid and job.gid and job
end

-- The job whose hook is called: remembered from its setup, else put together again from what
-- this Slurm tells (22.05 tells the owner to setup alone).
local function job_of(job_id, script, uid, gid)
	local job = remembered(job_id)
	if job then return job end
	uid, gid = number_of(uid), number_of(gid)
	if not uid or not gid then
		local told = asked(job_id)
		uid, gid = number_of(told.uid), number_of(told.gid)
	end
	if not uid or not gid then return nil, "the job's owner is not known; nothing was touched" end
	local made, wrong = made_job(job_id, uid, gid, script)
	if made then remember(made) end
	return made, wrong
end

-- ---- as the job's owner -------------------------------------------------------------------------

-- What stands before a command to run it as the job's owner, with nothing of slurmctld's
-- environment but where its settings are.
local function as_owner(job)
	local conf = os.getenv("SLURM_CONF")
	local env = "exec env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8"
		.. (conf and " SLURM_CONF=" .. quote(conf) or "")
	if CONFIG.become == "sudo" then
		return ("%s sudo -n -u '#%d' -g '#%d' -- "):format(env, job.uid, job.gid)
	end
	return ("%s setpriv --reuid=%d --regid=%d --init-groups -- "):format(env, job.uid, job.gid)
end

local function finalize_command(job, more)
	local words = { quote(CONFIG.bin .. "/finalize"), "--reason", "--scheduler", "slurm" }
	local function add(option, value)
		words[#words + 1] = option
		words[#words + 1] = quote(value)
	end
	add("--site", CONFIG.site)
	add("--job", job.id)
	add("--deadline", CONFIG.deadline_s)
	if job.publish then add("--publish", job.publish) end
	for _, path in ipairs(job.statedirs) do add("--dir", path) end
	return BOUNDED .. as_owner(job) .. table.concat(words, " ") .. (more or "")
end

-- What the finalizer's own last line says: exit status and reason; nil if it said nothing.
local function told_by(text)
	local code, reason
	for line in (text or ""):gmatch("[^\n]+") do
		local digits, words = line:match("^poststage%-result: (%d+) ?(.*)$")
		if digits then code, reason = tonumber(digits), words end
	end
	return code, reason
end

-- Run the finalizer to its end. SUCCESS if and only if it ended with 0 and said so; third, the
-- exit status that it ended with and said.
local function finalized(job, more)
	local result, log = spool(job.id, "result"), CONFIG.spool .. "/log/" .. job.id
	local status = run(finalize_command(job, more) .. " </dev/null >" .. quote(result)
		.. " 2>>" .. quote(log))
	local code, reason = told_by(read_file(result))
	if code and code == status then
		if code == 0 then return slurm.SUCCESS, "", code end
		return slurm.ERROR, reason_of(reason), code
	end
	if status > 128 then
		return failed("finalize was killed (signal " .. status - 128 .. "); nothing is lost: run it again")
	end
	return failed("finalize ended with status " .. status .. " and no result; see " .. log)
end

-- For Slurm 24.05 and later: see that a finalizer runs in the background, and how it stands. One
-- that was killed is started again, until the time that all of it may take is over.
local function polled(job)
	local path = spool(job.id, "started")
	local since = tonumber(read_file(path) or "")
	if not since then
		since = os.time()
		local file = io.open(path, "w")
		if file then file:write(since, "\n"); file:close() end
	end
	local verdict, reason, code = finalized(job, " --detach")
	if code ~= RUN_AGAIN then return verdict, reason end
	if os.time() - since > CONFIG.deadline_s then return verdict, reason end
	return slurm.SUCCESS, slurm.SLURM_BB_BUSY or "BUSY"
end

-- ---- called inside slurmctld: quick, cannot be killed ------------------------------------------

function slurm_bb_job_process(job_script, uid)
	if number_of(uid) == 0 then return failed("poststage: root's jobs are not finalized") end
	local options, wrong = options_of(job_script)
	if not options then return failed("poststage: #" .. CONFIG.directive .. ": " .. wrong) end
	return slurm.SUCCESS
end

function slurm_bb_pools()
	return slurm.SUCCESS, '{"pools":[{"id":"poststage","quantity":1000000,"granularity":1}]}'
end

-- Into the job's environment goes where its agents record.
function slurm_bb_paths(job_id, job_script, path_file, uid, gid)
	local job, wrong = job_of(job_id, job_script, uid, gid)
	if not job then return failed("poststage: " .. wrong) end
	local file, why = io.open(path_file, "w")
	if not file then return failed("poststage: " .. why) end
	if job.statedirs[1] then file:write("POSTSTAGE_STATE_DIR=" .. job.statedirs[1] .. "\n") end
	file:close()
	return slurm.SUCCESS
end

-- ---- called in a process of their own: may be slow, are killed at their timeout -----------------

-- The owner is remembered, and makes the state directories: one that is missing at stage-out is
-- then a file system that is not mounted, and never taken for a job that wrote nothing.
function slurm_bb_setup(job_id, uid, gid, _, _, job_script)
	local job, wrong = made_job(job_id, number_of(uid), number_of(gid), job_script)
	if not job then return failed("poststage: " .. wrong) end
	if job.uid == 0 then return failed("poststage: root's jobs are not finalized") end
	wrong = remember(job)
	if wrong then return failed("poststage: " .. wrong) end
	for _, path in ipairs(job.statedirs) do
		local made = run("umask 077; " .. BOUNDED .. as_owner(job) .. "mkdir -p -- " .. quote(path)
			.. " 2>>" .. quote(CONFIG.spool .. "/log/" .. job_id))
		if made ~= 0 then return failed("poststage: its owner cannot make statedir " .. path) end
	end
	return slurm.SUCCESS
end

function slurm_bb_data_in() return slurm.SUCCESS end
function slurm_bb_test_data_in() return slurm.SUCCESS end
function slurm_bb_real_size() return slurm.SUCCESS end
function slurm_bb_pre_run() return slurm.SUCCESS end
function slurm_bb_post_run() return slurm.SUCCESS end

-- Safe to be called again at any time: the finalizer waits until the job's processes are gone,
-- knows when the job goes back to the queue, and leaves what is done alone.
function slurm_bb_data_out(job_id, job_script, uid, gid)
	local job, wrong = job_of(job_id, job_script, uid, gid)
	if not job then return failed("poststage: " .. wrong) end
	if CONFIG.poll then os.remove(spool(job_id, "started")) end
	local verdict, reason = (CONFIG.poll and polled or finalized)(job)
	return verdict, verdict == slurm.SUCCESS and "" or reason
end

-- Slurm 24.05 and later ask again while the answer is BUSY; older ones never do.
function slurm_bb_test_data_out(job_id, job_script, uid, gid)
	if not CONFIG.poll then return slurm.SUCCESS, "" end
	local job, wrong = job_of(job_id, job_script, uid, gid)
	if not job then return failed("poststage: " .. wrong) end
	return polled(job)
end

-- Nothing of the job's data is touched, in no hurry either: only what the hooks remember goes.
function slurm_bb_job_teardown(job_id)
	for _, kind in ipairs({ "job", "job.new", "result", "started" }) do os.remove(spool(job_id, kind)) end
	return slurm.SUCCESS
end

-- `scontrol show bbstat`: the jobs that are remembered and how their last finalize ended.
function slurm_bb_get_status()
	local lines = {}
	local found = output_of("ls " .. quote(CONFIG.spool) .. " 2>/dev/null")
	for job_id in found:gmatch("(%d+)%.job\n") do
		local code, reason = told_by(read_file(spool(job_id, "result")))
		local state = code and ("exit " .. code .. ": " .. reason_of(reason)) or "no result yet"
		lines[#lines + 1] = "job " .. job_id .. ": " .. state .. "\n"
	end
	return slurm.SUCCESS, table.concat(lines)
end
