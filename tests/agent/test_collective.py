"""All ranks as one: the same answer and the same error on each. On real ranks: tests/mpi."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest

from poststage.agent.collective import Collective, agreed, combined
from poststage.errors import BackendError, ExitCode, PoststageError
from poststage.model import TransferState as S
from tests.agent.lives import Emulator, made

RANKS = 3


class Threads:
    """A communicator of this process's threads, one of which has number `rank`."""

    def __init__(self, rank: int, shared: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self._shared, self._barrier = rank, shared, barrier

    def allgather(self, sendobj: Any) -> list[Any]:
        """As MPI's."""
        self._shared[self.rank] = sendobj
        self._barrier.wait(60)
        found = list(self._shared)
        self._barrier.wait(60)
        return found

    def allreduce(self, sendobj: Any) -> Any:
        """As MPI's, with its own addition."""
        first, *others = self.allgather(sendobj)
        return sum(others, first)


def on_all(program: Callable[[Threads], Any]) -> list[Any]:
    """What `program` returns or raises on each rank."""
    shared, barrier = [None] * RANKS, threading.Barrier(RANKS)

    def run(rank: int) -> Any:
        try:
            return program(Threads(rank, shared, barrier))
        except PoststageError as error:
            return error

    with ThreadPoolExecutor(RANKS) as pool:
        return list(pool.map(run, range(RANKS)))


@pytest.mark.parametrize("states", list(product(S, repeat=2)))
def test_one_state_stands_for_all_and_success_only_for_success(states: tuple[S, S]) -> None:
    found = combined(states)
    assert found is combined(states[::-1])
    assert (found is S.FULLSUCCESS) is (set(states) == {S.FULLSUCCESS})
    assert found.ended is all(state.ended for state in states)
    assert (found is S.UNKNOWN) is (S.UNKNOWN in states)


def test_no_state_at_all_is_success() -> None:
    assert combined([]) is S.FULLSUCCESS


def test_an_error_on_one_rank_is_the_same_error_on_all() -> None:
    def program(comm: Threads) -> str:
        def call() -> str:
            if comm.rank == 1:
                raise BackendError("backend: is away", hint="wait")
            return "done"

        return agreed(comm, call)

    for error in on_all(program):
        assert isinstance(error, PoststageError)
        assert (error.message, error.hint) == ("rank 1: backend: is away", "wait")
        assert error.exit_code is ExitCode.RUN_AGAIN


def test_a_bug_on_one_rank_hangs_nobody() -> None:
    def program(comm: Threads) -> float:
        return agreed(comm, lambda: 1 / comm.rank)

    errors = on_all(program)
    assert all(isinstance(error, PoststageError) for error in errors)
    assert "ZeroDivisionError" in errors[2].message


@pytest.fixture
def life() -> Iterator[Emulator]:
    with made(Emulator) as one:
        assert isinstance(one, Emulator)
        one.fault()
        yield one


def collective(life: Emulator, comm: Threads) -> Collective:
    from poststage.agent import open_agent

    agent = open_agent(life.state_dir, site=life.top / "site.toml")
    agent.part, agent.parts = comm.rank, RANKS
    return Collective(agent, comm)


def handed_over(life: Emulator, comm: Threads) -> Any:
    shared = collective(life, comm).transfer("d")
    source = life.bb / f"r{comm.rank}"
    source.write_bytes(b"x" * 1000)
    shared.add(source, life.pfs / f"r{comm.rank}")
    shared.dispatch()
    return shared


def test_a_whole_life_has_one_answer_on_all_ranks(life: Emulator) -> None:
    def program(comm: Threads) -> tuple[S, S]:
        shared = handed_over(life, comm)
        return shared.wait(60), shared.test()

    assert on_all(program) == [(S.FULLSUCCESS, S.FULLSUCCESS)] * RANKS
    assert life.finalized() == "published (0)"


def test_nothing_is_started_on_any_rank_before_all_have_recorded(life: Emulator) -> None:
    def program(comm: Threads) -> None:
        shared = collective(life, comm).transfer("d")
        if comm.rank == 2:
            shared.mine.discard()  # its dispatch will fail
        else:
            shared.add(life.source, life.pfs / f"r{comm.rank}")
        shared.dispatch()

    errors = on_all(program)
    assert all("was discarded" in error.message for error in errors)
    assert list(life.pfs.iterdir()) == []


def test_a_transfer_that_one_rank_cannot_have_no_rank_has(life: Emulator) -> None:
    (life.state_dir / "d").mkdir()
    (life.state_dir / "d" / "1.state").mkdir()

    def program(comm: Threads) -> None:
        collective(life, comm).transfer("d")

    assert all(isinstance(error, PoststageError) for error in on_all(program))
    assert [path.name for path in (life.state_dir / "d").iterdir()] == ["1.state"]


def test_cancel_and_discard_are_everybodys(life: Emulator) -> None:
    def program(comm: Threads) -> S:
        collective(life, comm).transfer("other").discard()
        life.fault(limit_mb_s=0.001)
        return handed_over(life, comm).cancel()  # type: ignore[no-any-return]

    assert on_all(program) == [S.CANCELED] * RANKS


def test_earlier_transfers_are_waited_for_resumed_and_forgotten_together(life: Emulator) -> None:
    on_all(lambda comm: handed_over(life, comm) and None)

    def program(comm: Threads) -> tuple[S, S, S]:
        earlier = collective(life, comm).open("d")
        return earlier.wait(60), earlier.resume(), earlier.test()

    assert on_all(program) == [(S.FULLSUCCESS,) * 3] * RANKS

    def forgotten(comm: Threads) -> None:
        collective(life, comm).open("d").forget()

    assert all("still open" in error.message for error in on_all(forgotten))
