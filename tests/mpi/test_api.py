"""The Python API on real ranks: no collective, no hang, whoever is killed."""

import signal

import pytest

from tests.mpi.conftest import Site

PROLOGUE = """
import os, signal, sys
from mpi4py import MPI
import poststage
comm = MPI.COMM_WORLD
rank = comm.Get_rank()
path = f"bb/data.{rank}"
with open(path, "w") as file:
    file.write(f"rank {rank}")
"""


def test_each_rank_hands_over_its_own_part(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
with poststage.open_agent(comm=comm) as agent, agent.transfer("set") as transfer:
    transfer.add(path, f"pfs/new/data.{rank}", checksum=True)
assert transfer.wait(30).ended
"""
    )
    assert done.returncode == 0, done.stderr
    assert site.finalize().returncode == 0
    for rank in range(4):
        assert (site.pfs / f"new/data.{rank}").read_text() == f"rank {rank}"


def test_nothing_of_the_api_waits_for_other_ranks(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
if rank == 1:  # the others never come here
    with poststage.open_agent(comm=comm) as agent, agent.transfer("set") as transfer:
        transfer.add(path, "pfs/alone")
    print(transfer.wait(30).value)
comm.Barrier()
"""
    )
    assert done.stdout.strip() == "FULLSUCCESS", done.stderr
    assert site.state_files() == ["set/1.state"]


WHEN = {
    "nothing recorded": "pass",
    "recording": "agent.transfer('set').add(path, 'pfs/killed')",
    "recorded": "t = agent.transfer('set'); t.add(path, 'pfs/killed'); t.record()",
}


@pytest.mark.parametrize("when", WHEN)
def test_a_rank_killed_before_its_start_starts_nothing(site: Site, when: str) -> None:
    done = site.python(
        PROLOGUE
        + f"""
agent = poststage.open_agent(comm=comm)
if rank != 2:
    with agent.transfer("set") as transfer:
        transfer.add(path, f"pfs/data.{{rank}}")
comm.Barrier()
if rank == 2:
    {WHEN[when]}
    os.kill(os.getpid(), signal.SIGKILL)
comm.Barrier()
"""
    )
    assert done.returncode in {signal.SIGKILL, 128 + signal.SIGKILL}
    finalized = site.finalize()
    assert finalized.returncode == 3, finalized.stderr
    assert sorted(path.name for path in site.pfs.iterdir()) == ["data.0", "data.1", "data.3"]
    for rank in (0, 1, 3):
        assert (site.pfs / f"data.{rank}").read_text() == f"rank {rank}"


def test_a_rank_killed_after_its_dispatch_loses_nothing(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
with poststage.open_agent(comm=comm) as agent, agent.transfer("set") as transfer:
    transfer.add(path, f"pfs/data.{rank}")
comm.Barrier()
if rank == 2:
    os.kill(os.getpid(), signal.SIGKILL)
comm.Barrier()
"""
    )
    assert done.returncode in {signal.SIGKILL, 128 + signal.SIGKILL}
    assert site.finalize().returncode == 0
    assert len(list(site.pfs.iterdir())) == 4


def test_two_ranks_of_one_part_are_told_so(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
try:
    with poststage.open_agent() as agent:  # without the communicator: all are part 0 of 1
        transfer = agent.transfer("set")
        comm.Barrier()
        print("is mine")
except poststage.errors.PoststageError as error:
    comm.Barrier()
    print(error.hint)
"""
    )
    assert done.stdout.count("is mine") == 1, done.stderr
    assert done.stdout.count("give open_agent the communicator") == 3


def test_a_communicator_of_ones_own_is_accepted(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
with poststage.open_agent(comm=MPI.COMM_SELF) as agent, agent.transfer(f"set.{rank}"):
    pass
"""
    )
    assert done.returncode == 0, done.stderr
    assert site.state_files() == [f"set.{rank}/0.state" for rank in range(4)]


def test_an_error_that_only_one_rank_knows_of_ends_all(site: Site) -> None:
    done = site.python(
        """
import os
from poststage.agent import ranks
from poststage.cli.common import exit_on_error
with exit_on_error(), ranks.job() as here, exit_on_error():
    if here.rank == 1:
        raise RuntimeError("mine alone")
    here.everyone(here.rank)  # never ends by itself
""",
        ranks=2,
    )
    assert done.returncode != 0
    assert done.stderr.count("mine alone") == 1


def test_a_failure_in_a_shared_step_is_raised_on_all_ranks(site: Site) -> None:
    done = site.python(
        """
import sys
from poststage.agent import ranks
from poststage.cli.common import exit_on_error
from poststage.errors import SourceError
with exit_on_error(), ranks.job() as here, exit_on_error():
    with here.together():
        if here.rank in (1, 2):
            raise SourceError("gone", hint="look") if here.rank == 1 else ZeroDivisionError("x")
    print("reached")
"""
    )
    assert done.returncode == 1  # a bug outweighs
    assert "reached" not in done.stdout
    assert done.stderr.count("error: rank 1: gone (and 1 more of 4 ranks failed)") == 1
    assert "Abort" not in done.stderr
