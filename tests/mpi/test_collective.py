"""The collective calls on real ranks: one answer, one error, and no rank that hangs."""

from tests.mpi.conftest import Site
from tests.mpi.test_api import PROLOGUE


def test_a_whole_life_on_four_ranks_has_one_answer(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
with poststage.open_agent(comm=comm) as agent:
    shared = poststage.Collective(agent, comm).transfer("set", move=True)
    shared.add(path, f"pfs/data.{rank}")
    shared.dispatch()
    state = shared.wait(30)
states = comm.gather(state.value)
if rank == 0:
    print(*states)
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["FULLSUCCESS"] * 4
    assert site.finalize().returncode == 0
    assert sorted(path.name for path in site.pfs.iterdir()) == [f"data.{r}" for r in range(4)]


def test_what_one_rank_cannot_hand_over_is_every_ranks_error(site: Site) -> None:
    done = site.python(
        PROLOGUE
        + """
agent = poststage.open_agent(comm=comm)
if rank == 2:
    agent.transfer("set")  # its part is taken
try:
    poststage.Collective(agent, comm).transfer("set")
except Exception as error:
    said = error.message.partition(":")[0]
said = comm.gather(said)
if rank == 0:
    print(said, flush=True)
comm.Barrier()
os._exit(0)
"""
    )
    assert done.stdout.strip() == str(["rank 2"] * 4), done.stderr
    assert site.state_files() == ["set/2.state"]
