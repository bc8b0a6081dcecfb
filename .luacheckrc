-- Only what every Lua from 5.1 to 5.4 has. `slurm` is the scheduler's; it calls slurm_bb_*.
std = "min"
read_globals = { "slurm" }
files["site-configs/slurm-lua"] = { allow_defined_top = true, ignore = { "131/slurm_bb_.*" } }
files["tests/lua"] = { globals = { "slurm", "os", "io" }, ignore = { "113/slurm_bb_.*" } }
