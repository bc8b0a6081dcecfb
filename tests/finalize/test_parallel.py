"""State files shared out over processes: a process that dies costs its share and no more."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager

import pytest

from poststage.errors import ExitCode
from poststage.finalize.parallel import Crew, Visit, crew, shared_out
from poststage.finalize.pending import Pending
from poststage.finalize.window import Result, Windows, tally_of
from poststage.finalize.work import Pool
from tests.finalize.house import House, Vendor

PENDING = [Pending(b"d", b"%d.state" % part, b"/s/d/%d.state" % part) for part in range(10)]


def counted(windows: Windows, some: Collection[Pending]) -> Result:
    """Each state file is seen; nothing else."""
    del windows
    result = Result({}, [], [])
    tally_of(result, b"d").seen |= {int(one.name.partition(b".")[0]) for one in some}
    return result


def run(
    house: House,
    vendor: Vendor,
    jobs: int,
    visit: Visit = counted,
    stop: Callable[[], bool] = lambda: False,
    *,
    call_s: float = 0.0,
) -> Result:
    @contextmanager
    def make(threads: int, pool: Pool | None) -> Iterator[Windows]:
        with closing(Windows(house.state, vendor.options(), lambda: False)) as windows:
            yield windows

    return shared_out(make, PENDING, crew(jobs, len(PENDING), call_s), visit, stop)


def test_every_state_file_is_visited_once_however_many_processes_there_are(
    house: House, vendor: Vendor
) -> None:
    for jobs in (0, 1, 2, 3, 20):
        for call_s in (0.0, 0.001):
            found = run(house, vendor, jobs, call_s=call_s)
            assert found.tallies[b"d"].seen == set(range(10)), (jobs, call_s)


def test_processes_where_calls_are_short_and_threads_where_they_are_long() -> None:
    assert crew(2, 10_000, 2e-6) == Crew(2, 1)
    assert crew(8, 3, 2e-6) == Crew(3, 1)
    assert crew(0, 10, 2e-6) == Crew(1, 1)
    assert crew(0, 10, 1e-3) == Crew(1, 50)
    assert crew(0, 10, 0.5) == Crew(1, 64)
    assert crew(16, 10_000, 1e-3) == Crew(1, 16)
    assert crew(128, 10_000, 1e-3) == Crew(2, 64)


def test_a_thread_that_fails_costs_what_it_had_taken_and_no_more(
    house: House, vendor: Vendor
) -> None:
    def visit(windows: Windows, some: Collection[Pending]) -> Result:
        if PENDING[3] in some:
            raise ValueError("a defect")
        return counted(windows, some)

    tally = run(house, vendor, 5, visit, call_s=0.001).tallies[b"d"]
    assert tally.seen == set(range(10))  # none of them is missing
    assert tally.report().problems_in_all == 1
    assert ExitCode.RUN_AGAIN in tally.codes


def test_threads_that_no_state_file_is_left_for_help_the_others(
    house: House, vendor: Vendor
) -> None:
    pools: list[Pool | None] = []

    @contextmanager
    def make(threads: int, pool: Pool | None) -> Iterator[Windows]:
        pools.append(pool)
        with closing(Windows(house.state, vendor.options(), lambda: False)) as windows:
            yield windows

    shared_out(make, PENDING, Crew(1, 30), counted, lambda: False)
    assert len(pools) == 10
    assert len(set(map(id, pools))) == 1
    assert pools[0] is not None


def test_few_state_files_are_not_worth_a_process(house: House, vendor: Vendor) -> None:
    pids: list[int] = []

    def visit(windows: Windows, some: Collection[Pending]) -> Result:
        pids.append(os.getpid())
        return counted(windows, some)

    run(house, vendor, 0, visit)
    assert pids == [os.getpid()]


def test_a_process_that_dies_costs_its_share_and_no_more(house: House, vendor: Vendor) -> None:
    def visit(windows: Windows, some: Collection[Pending]) -> Result:
        if next(iter(some)) is PENDING[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return counted(windows, some)

    tally = run(house, vendor, 2, visit).tallies[b"d"]
    assert tally.seen == set(range(10))  # none of them is missing
    assert ExitCode.RUN_AGAIN in tally.codes
    assert tally.report().problems_in_all == 5


def test_a_process_that_fails_is_told_of_as_one_that_died(house: House, vendor: Vendor) -> None:
    def visit(windows: Windows, some: Collection[Pending]) -> Result:
        if next(iter(some)) is PENDING[0]:
            raise ValueError("a defect")
        return counted(windows, some)

    assert ExitCode.RUN_AGAIN in run(house, vendor, 2, visit).tallies[b"d"].codes


def test_a_stop_reaches_every_process(house: House, vendor: Vendor) -> None:
    """Each waits for the signal; without it this test would never end."""

    def visit(windows: Windows, some: Collection[Pending]) -> Result:
        signal.sigwait({signal.SIGTERM})
        return counted(windows, some)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        result = run(house, vendor, 2, visit, stop=lambda: True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert result.tallies[b"d"].seen == set(range(10))


def test_with_few_processes_to_be_had_this_one_does_the_rest(
    house: House, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork, asked = os.fork, []

    def refused() -> int:
        asked.append(1)
        if len(asked) > 1:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    monkeypatch.setattr(os, "fork", refused)
    found = run(house, vendor, 4)
    assert found.tallies[b"d"].seen == set(range(10))
    assert found.tallies[b"d"].codes == set()
    assert len(asked) == 4


@pytest.mark.parametrize("few", [0, 1, 3])
def test_with_few_threads_to_be_had_those_do_everything(
    house: House, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    start, others = threading.Thread.start, set(threading.enumerate())

    def refused(thread: threading.Thread) -> None:
        if len(set(threading.enumerate()) - others) >= few:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    found = run(house, vendor, 16, call_s=0.001)
    assert found.tallies[b"d"].seen == set(range(10))
    assert found.tallies[b"d"].codes == set()
