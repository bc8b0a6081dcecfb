-- The laws of the Slurm hook, under plain Lua with a table in Slurm's place.
--
-- usage: lua laws.lua HOOK DIR [LAW]     without LAW: print the names of all
--
-- HOOK is the filled-in hook; DIR/bin/finalize is what it runs. Real commands run, as whoever
-- runs this: only the words that become the job's owner are taken away, and kept in `commands`.

local hook_path, dir, wanted = arg[1], arg[2], arg[3]
local commands, fake_squeue = {}, ""
local execute, popen = os.execute, io.popen

slurm = { SUCCESS = 0, ERROR = -1 }

local function bare(command)
	commands[#commands + 1] = command
	command = command:gsub("exec env %-i.-%-%- ", "exec ", 1)
	return (command:gsub("setpriv .- %-%- ", "", 1))
end

os.execute = function(command) return execute(bare(command)) end
io.popen = function(command, mode)
	commands[#commands + 1] = command
	if command:match("^squeue") then command = "printf '%s' '" .. fake_squeue .. "'" end
	return popen(command, mode)
end

local function write(path, text)
	local file = assert(io.open(path, "w"))
	file:write(text)
	file:close()
end

local function read(path)
	local file = io.open(path, "r")
	local text = file and file:read("*a")
	if file then file:close() end
	return text
end

local function script(...)
	local path = dir .. "/job.sh"
	write(path, "#!/bin/bash\n" .. table.concat({ ... }, "\n") .. "\n")
	return path
end

-- What finalize does: a shell script's body.
local function finalize(body)
	write(dir .. "/bin/finalize", "#!/bin/sh\n" .. body .. "\n")
	assert(execute("chmod 755 '" .. dir .. "/bin/finalize'"))
end

local function same(seen, expected)
	if seen ~= expected then
		error(("seen %s, expected %s"):format(tostring(seen), tostring(expected)), 2)
	end
end

local function has(text, part)
	if not tostring(text):find(part, 1, true) then
		error(("%q is not in %q"):format(part, tostring(text)), 2)
	end
end

local function last() return commands[#commands] end
local function state() return dir .. "/state of/it's" end

-- A job that is set up: its script, for the hooks that come after.
local function job(more)
	local path = script(('#BB_LUA statedir="%s/%%j" %s'):format(state(), more or ""))
	same(slurm_bb_setup(17, 1234, 567, "", 0, path), slurm.SUCCESS)
	return path
end

local laws = {}

function laws.setup_makes_the_state_directory_as_the_owner()
	job()
	has(last(), "setpriv --reuid=1234 --regid=567 --init-groups -- mkdir -p -- ")
	same(execute("test -d '" .. state():gsub("'", "'\\''") .. "/17'") and true, true)
end

function laws.setup_fails_where_the_owner_cannot_make_it()
	write(dir .. "/plain", "")
	local code, why = slurm_bb_setup(17, 1234, 567, "", 0, script("#BB_LUA statedir=" .. dir .. "/plain/x"))
	same(code, slurm.ERROR)
	has(why, "cannot make statedir")
end

function laws.root_is_never_become()
	same(slurm_bb_setup(17, 0, 0, "", 0, script("#BB_LUA statedir=/x")), slurm.ERROR)
	same((slurm_bb_job_process(script("#BB_LUA statedir=/x"), 0)), slurm.ERROR)
	same(#commands, 0)
end

function laws.the_job_s_environment_says_where_agents_record()
	local path = job()
	same(slurm_bb_paths(17, path, dir .. "/paths"), slurm.SUCCESS)
	same(read(dir .. "/paths"), "POSTSTAGE_STATE_DIR=" .. state() .. "/17\n")
end

function laws.success_is_what_the_finalizer_ended_with_and_said()
	local path = job()
	finalize("echo 'poststage-result: 0 all'")
	local code, message, more = slurm_bb_data_out(17, path)
	same(code, slurm.SUCCESS)
	same(message, "")
	same(more, nil)
end

function laws.a_reason_is_what_the_finalizer_said_last()
	local path = job()
	finalize("echo 'poststage-result: 0 early'; echo 'poststage-result: 3 step.1: 1 failed'; exit 3")
	local code, message = slurm_bb_data_out(17, path)
	same(code, slurm.ERROR)
	same(message, "step.1: 1 failed")
end

function laws.a_reason_is_printable_and_fits()
	local path = job()
	finalize("printf 'poststage-result: 3 a\\033b%0200d\\n' 0; exit 3")
	local _, message = slurm_bb_data_out(17, path)
	same(#message, 120)
	same(message:match("[^\32-\126]"), nil)
end

function laws.a_finalizer_that_says_success_and_fails_is_an_error()
	local path = job()
	finalize("echo 'poststage-result: 0 all'; exit 1")
	same((slurm_bb_data_out(17, path)), slurm.ERROR)
end

function laws.a_finalizer_that_fails_in_words_and_ends_with_0_is_an_error()
	local path = job()
	finalize("echo 'poststage-result: 3 bad'; exit 0")
	same((slurm_bb_data_out(17, path)), slurm.ERROR)
end

function laws.a_finalizer_that_says_nothing_is_an_error()
	local path = job()
	finalize("exit 0")
	local code, message = slurm_bb_data_out(17, path)
	same(code, slurm.ERROR)
	has(message, "no result")
end

function laws.what_an_earlier_finalizer_said_counts_for_nothing()
	local path = job()
	finalize("echo 'poststage-result: 0 all'")
	same((slurm_bb_data_out(17, path)), slurm.SUCCESS)
	finalize("exit 0")
	same((slurm_bb_data_out(17, path)), slurm.ERROR)
end

function laws.a_finalizer_that_is_killed_after_its_word_is_an_error()
	local path = job()
	finalize("echo 'poststage-result: 0 all'; kill -KILL $$")
	local code, message = slurm_bb_data_out(17, path)
	same(code, slurm.ERROR)
	has(message, "was killed (signal 9)")
end

function laws.a_finalizer_that_is_terminated_is_an_error()
	local path = job()
	finalize("kill -TERM $$")
	local code, message = slurm_bb_data_out(17, path)
	same(code, slurm.ERROR)
	has(message, "was killed (signal 15)")
end

function laws.a_finalizer_that_is_not_there_is_an_error()
	local path = job()
	os.remove(dir .. "/bin/finalize")
	local code, message = slurm_bb_data_out(17, path)
	same(code, slurm.ERROR)
	has(message, "ended with status 127")
end

function laws.os_execute_that_cannot_tell_is_an_error()
	local path = job()
	write(dir .. "/spool/17.result", "poststage-result: 0 of an earlier run\n")
	for _, told in ipairs({ { -1 }, { nil, "exit" }, {} }) do
		os.execute = function() return told[1], told[2] end
		local code, message = slurm_bb_data_out(17, path)
		same(code, slurm.ERROR)
		has(message, "ended with status 127")
	end
end

function laws.the_finalizer_is_told_job_deadline_and_every_state_directory()
	local path = script(
		"#SBATCH -n 4", "#BB_LUA statedir=" .. dir .. "/a/%j publish=dataset",
		"#BB_LUA statedir=" .. dir .. "/b capacity=1G", "echo", "#BB_LUA statedir=/late"
	)
	same(slurm_bb_setup(17, 1234, 567, "", 0, path), slurm.SUCCESS)
	finalize("echo \"$@\" >'" .. dir .. "/told'; echo 'poststage-result: 0 all'")
	same((slurm_bb_data_out(17, path)), slurm.SUCCESS)
	same(read(dir .. "/told"), ("--reason --scheduler slurm --site /etc/poststage/site.toml --job 17 "
		.. "--deadline 86100 --publish dataset --dir %s/a/17 --dir %s/b\n"):format(dir, dir))
end

function laws.the_owner_is_remembered_over_a_restart_and_without_the_script()
	job()
	dofile(hook_path)
	finalize("echo 'poststage-result: 0 all'")
	same((slurm_bb_data_out(17, "/proc/1/fd/9")), slurm.SUCCESS)
	has(last(), "--reuid=1234 --regid=567")
end

function laws.newer_slurms_tell_the_owner()
	local path = script("#BB_LUA statedir=" .. dir .. "/a")
	finalize("echo 'poststage-result: 0 all'")
	same((slurm_bb_data_out(18, path, 1234, 567, {})), slurm.SUCCESS)
	has(last(), "--reuid=1234 --regid=567")
end

function laws.an_owner_that_was_forgotten_is_asked_for()
	local path = script("#BB_LUA statedir=" .. dir .. "/%A.%a")
	fake_squeue = "18 1 1 17 1\n19 1234 567 17 2\n"
	finalize("echo 'poststage-result: 0 all'")
	same((slurm_bb_data_out(19, path)), slurm.SUCCESS)
	has(last(), "--reuid=1234 --regid=567")
	has(last(), dir .. "/17.2")
end

function laws.an_owner_that_nobody_knows_is_an_error_and_nothing_runs()
	finalize("touch '" .. dir .. "/ran'; echo 'poststage-result: 0 all'")
	local code, message = slurm_bb_data_out(19, script("#BB_LUA statedir=/x"))
	same(code, slurm.ERROR)
	has(message, "owner is not known; nothing was touched")
	same(read(dir .. "/ran"), nil)
end

function laws.half_of_what_was_remembered_is_nothing()
	write(dir .. "/spool/19.job", "uid 1234\ngid 567\nstatedir /x\n")
	finalize("echo 'poststage-result: 0 all'")
	local code, message = slurm_bb_data_out(19, script("#BB_LUA statedir=/x"))
	same(code, slurm.ERROR)
	has(message, "owner is not known")
end

function laws.teardown_forgets_the_job_and_touches_no_data()
	local path = job()
	write(state() .. "/17/file", "kept")
	same(slurm_bb_job_teardown(17, path, "true"), slurm.SUCCESS)
	same(read(dir .. "/spool/17.job"), nil)
	same(read(state() .. "/17/file"), "kept")
end

function laws.hooks_that_have_nothing_to_do_succeed()
	for _, name in ipairs({ "pools", "data_in", "test_data_in", "real_size", "pre_run", "post_run",
		"test_data_out", "get_status" }) do
		local code = _G["slurm_bb_" .. name](17, "/nothing")
		same(code, slurm.SUCCESS)
	end
end

function laws.status_tells_each_job_s_last_result()
	local path = job()
	finalize("echo 'poststage-result: 3 step.1: 1 failed'; exit 3")
	slurm_bb_data_out(17, path)
	local _, text = slurm_bb_get_status()
	same(text, "job 17: exit 3: step.1: 1 failed\n")
end

local function refused(line, fact)
	local code, message = slurm_bb_job_process(script(line))
	same(code, slurm.ERROR)
	has(message, fact)
end

function laws.a_directive_that_makes_no_sense_is_refused()
	refused("#BB_LUA statdir=/x", "option statdir is not known")
	refused("#BB_LUA /x", "option /x is not key=value")
	refused("#BB_LUA statedir=x", "is not an absolute path")
	refused("#BB_LUA statedir=/a/../b", "has . or .. in it")
	refused("#BB_LUA statedir=/a/%x", "knows %j %A %a %u %% only")
	refused("#BB_LUA statedir=/a publish=all", "neither file nor dataset")
	refused("#BB_LUA publish=file", "has no statedir=")
	refused('#BB_LUA statedir="/a\tb"', "control character")
	refused("#BB_LUASTATEDIR=/a", "has no statedir=")
	same(slurm_bb_job_process("/does/not/exist"), slurm.ERROR)
end

function laws.a_directive_counts_above_the_first_command_only()
	refused("echo\n#BB_LUA statedir=/x", "has no statedir=")
	same(slurm_bb_job_process(script("", "#BB_LUA statedir=/x", "echo")), slurm.SUCCESS)
end

function laws.a_percent_sign_and_a_quote_reach_the_finalizer_as_they_are()
	local path = script('#BB_LUA statedir="' .. dir .. "/$(touch x)%%'`id`" .. '"')
	same(slurm_bb_setup(17, 1234, 567, "", 0, path), slurm.SUCCESS)
	finalize("for last; do :; done; printf '%s' \"$last\" >'" .. dir .. "/told'; echo 'poststage-result: 0 x'")
	same((slurm_bb_data_out(17, path)), slurm.SUCCESS)
	same(read(dir .. "/told"), dir .. "/$(touch x)%'`id`")
end

-- ---- Slurm 24.05 and later -----------------------------------------------------------------

function laws.polled_it_is_busy_until_the_finalizer_has_ended()
	local path = job()
	finalize("echo 'poststage-result: 75 a finalizer was started'; exit 75")
	same((slurm_bb_data_out(17, path)), slurm.SUCCESS)
	has(last(), " --detach ")
	local code, message = slurm_bb_test_data_out(17, path)
	same(code, slurm.SUCCESS)
	same(message, "BUSY")
	finalize("echo 'poststage-result: 0 all'")
	code, message = slurm_bb_test_data_out(17, path)
	same(code, slurm.SUCCESS)
	same(message, "")
end

function laws.polled_a_failure_is_an_error_with_its_reason()
	local path = job()
	finalize("echo 'poststage-result: 3 step.1: 1 failed'; exit 3")
	local code, message = slurm_bb_test_data_out(17, path)
	same(code, slurm.ERROR)
	same(message, "step.1: 1 failed")
end

function laws.polled_a_finalizer_that_is_killed_is_an_error()
	local path = job()
	finalize("kill -KILL $$")
	same((slurm_bb_test_data_out(17, path)), slurm.ERROR)
end

function laws.polled_it_is_busy_for_so_long_and_no_longer()
	local path = job()
	finalize("echo 'poststage-result: 75 still running'; exit 75")
	write(dir .. "/spool/17.started", tostring(os.time() - 90000) .. "\n")
	local code, message = slurm_bb_test_data_out(17, path)
	same(code, slurm.ERROR)
	same(message, "still running")
end

-- ---- running them ---------------------------------------------------------------------------

if not wanted then
	local names = {}
	for name in pairs(laws) do names[#names + 1] = name end
	table.sort(names)
	print(table.concat(names, "\n"))
	os.exit(0)
end
dofile(hook_path)
laws[wanted]()
