"""The `local` backend under a real mpirun: its copier outlives the job."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.backends.contract import copied, ended, original, state, write
from poststage.model import TransferState
from poststage.names import temp_name
from tests.backends.sites import LocalSite, end_daemon, pid_of, until

MPIRUN = Path(sys.executable).with_name("mpirun")
RANK = """
import os, sys
from pathlib import Path
from mpi4py import MPI
from poststage.backends import local
from poststage.backends.base import Context, Item
state_dir, source, target, temp = sys.argv[1:5]
rank = MPI.COMM_WORLD.rank
context = Context(Path(state_dir), {**local.BACKEND.defaults, "limit_mb_s": 4.0, "progress_mb": 1})
mover = local.BACKEND.open_mover(context)
handle = mover.handle(f"rank{rank}")
path, target = os.path.join(source, str(rank)), os.path.join(target, temp.format(rank))
info = os.stat(path)
item = Item(0, path.encode(), target.encode(), info.st_size, info.st_mtime_ns)
mover.start(handle, [item])
MPI.COMM_WORLD.Barrier()
if len(sys.argv) > 5:
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalSite]:
    """A STATEDIR of its own for each test."""
    if not MPIRUN.exists() and shutil.which("mpirun") is None:
        pytest.skip("no mpirun on this machine")
    pytest.importorskip("mpi4py")
    made = LocalSite(tmp_path)
    yield made
    end_daemon(made.root)


def job(site: LocalSite, *more: str) -> "subprocess.CompletedProcess[bytes]":
    """`mpirun -n 2` of a program whose ranks hand over a file each."""
    mpirun = str(MPIRUN) if MPIRUN.exists() else "mpirun"
    temp = os.fsdecode(temp_name(b"{}", site.tag, 0))  # as `write` names it
    places = [str(site.state_dir), str(site.source_dir), str(site.destination_dir), temp]
    command = [mpirun, "-n", "2", sys.executable, "-c", RANK, *places, *more]
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize("killed", [False, True])
def test_the_copier_outlives_mpirun_which_does_not_wait_for_it(
    site: LocalSite, killed: bool
) -> None:
    items = [write(site, b"%d" % rank, os.urandom(2_000_000), index=0) for rank in range(2)]
    run = job(site, *["kill"] * killed)
    assert (run.returncode == 0) is not killed, run.stderr
    handles = site.probe.find(["rank0", "rank1"])
    states = [state(site, handle).state for handle in handles.values()]
    assert TransferState.INPROGRESS in states, "mpirun has waited for the copies"
    pid = pid_of(site.root)
    assert all(
        ended(site, handle).state is TransferState.FULLSUCCESS for handle in handles.values()
    )
    assert pid_of(site.root) == pid
    assert [copied(item) for item in items] == [original(item) for item in items]


def test_the_end_of_the_allocation_stops_it_at_once(site: LocalSite) -> None:
    for rank in range(2):
        write(site, b"%d" % rank, os.urandom(4_000_000), index=0)
    assert job(site).returncode == 0
    handles = site.probe.find(["rank0", "rank1"])
    assert end_daemon(site.root, signal.SIGTERM)
    states = {state(site, handle).state for handle in handles.values()}
    assert states == {TransferState.STOPPED}
    for handle in handles.values():
        site.probe.resume(handle)
    until(lambda: all(state(site, handle).state.ended for handle in handles.values()))
