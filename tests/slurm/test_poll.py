"""The hook's polling, as Slurm 24.05 and later call it, driven by plain Lua on the real cluster.

The packaged Slurm is older and never calls test_data_out.
"""

import shutil
import subprocess

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import GID, UID, Cluster, until
from tests.slurm.conftest import hook

DRIVER = """
slurm = { SUCCESS = 0, ERROR = -1 }
dofile(arg[1])
local id, script, call = arg[2], arg[3], arg[4]
if call == "setup" then print(slurm_bb_setup(id, arg[5], arg[6], "", 0, script)) end
if call == "data_out" then print(slurm_bb_data_out(id, script, arg[5], arg[6])) end
if call == "test_data_out" then print(slurm_bb_test_data_out(id, script, arg[5], arg[6])) end
"""


@pytest.mark.parametrize("lua", ["lua5.1", "lua5.4"])
def test_stage_out_is_busy_until_all_is_published(
    cluster: Cluster, buffer: Buffer, lua: str
) -> None:
    if shutil.which(lua) is None:
        pytest.skip(f"{lua} is not installed")
    state = cluster.home / "state" / f"polled-{lua}"
    top = cluster.top / f"polled-{lua}"
    top.mkdir()
    (top / "hook.lua").write_text(hook(cluster, "poll=true"))
    (top / "driver.lua").write_text(DRIVER)
    (top / "job.sh").write_text(f"#!/bin/bash\n#BB_LUA statedir={state}\n")

    def call(name: str, job: str) -> list[str]:
        words = [lua, top / "driver.lua", top / "hook.lua", job, top / "job.sh", name, UID, GID]
        return cluster.command(*words).split()

    buffer.fault("--limit", "0.05")  # until it is cleared
    lines = (f"export POSTSTAGE_STATE_DIR={state}", buffer.program(more="--size 600000"))
    job = cluster.submit(*lines, options=("-n4",), burst_buffer=False)
    assert call("setup", job.id) == ["0"]
    until(job.output, lambda text: text.count("handed over") == 4, "not handed over")
    assert call("data_out", job.id) == ["0"]
    assert call("test_data_out", job.id) == ["0", "BUSY"]
    (pid,) = until(
        lambda: running(job.id), lambda pids: len(pids) == 1, "not one in the background"
    )
    cluster.command("kill", "-KILL", pid)
    buffer.fault("--clear")
    until(lambda: call("test_data_out", job.id), lambda told: told == ["0"], "never done")
    assert buffer.arrived() == buffer.expected(job.id)


def running(job: str) -> list[str]:
    """Pids of the finalizers in the background; their workers are not among them."""
    found = subprocess.run(
        ["pgrep", "-f", f"poststage finalize --detached .*--job={job}"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    parents = {pid: parent_of(pid) for pid in found}
    return [pid for pid, parent in parents.items() if parent not in found]


def parent_of(pid: str) -> str:
    """Its parent's pid; "" if it has ended."""
    done = subprocess.run(
        ["ps", "-o", "ppid=", "-p", pid], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
