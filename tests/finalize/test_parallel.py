"""State files shared out over processes: a process that dies costs its share and no more."""

import os
import signal
from collections.abc import Callable
from contextlib import closing

from poststage.errors import ExitCode
from poststage.finalize.parallel import Visit, shared_out
from poststage.finalize.pending import Pending
from poststage.finalize.window import Result, Windows, tally_of
from tests.finalize.house import House, Vendor

PENDING = [Pending(b"d", b"%d.state" % part, b"/s/d/%d.state" % part) for part in range(10)]


def counted(windows: Windows, some: list[Pending]) -> Result:
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
) -> Result:
    def make() -> Windows:
        return Windows(house.state, vendor.options(), lambda: False)

    with closing(make()) as here:
        return shared_out(make, here, PENDING, jobs, visit, stop)


def test_every_state_file_is_visited_once_however_many_processes_there_are(
    house: House, vendor: Vendor
) -> None:
    for jobs in (0, 1, 2, 3, 20):
        assert run(house, vendor, jobs).tallies[b"d"].seen == set(range(10)), jobs


def test_few_state_files_are_not_worth_a_process(house: House, vendor: Vendor) -> None:
    pids: list[int] = []

    def visit(windows: Windows, some: list[Pending]) -> Result:
        pids.append(os.getpid())
        return counted(windows, some)

    run(house, vendor, 0, visit)
    assert pids == [os.getpid()]


def test_a_process_that_dies_costs_its_share_and_no_more(house: House, vendor: Vendor) -> None:
    def visit(windows: Windows, some: list[Pending]) -> Result:
        if some[0] is PENDING[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return counted(windows, some)

    tally = run(house, vendor, 2, visit).tallies[b"d"]
    assert tally.seen == {1, 3, 5, 7, 9}
    assert ExitCode.RUN_AGAIN in tally.codes
    assert tally.report().problems_in_all == 5


def test_a_process_that_fails_is_told_of_as_one_that_died(house: House, vendor: Vendor) -> None:
    def visit(windows: Windows, some: list[Pending]) -> Result:
        if some[0] is PENDING[0]:
            raise ValueError("a defect")
        return counted(windows, some)

    assert ExitCode.RUN_AGAIN in run(house, vendor, 2, visit).tallies[b"d"].codes


def test_a_stop_reaches_every_process(house: House, vendor: Vendor) -> None:
    """Each waits for the signal; without it this test would never end."""

    def visit(windows: Windows, some: list[Pending]) -> Result:
        signal.sigwait({signal.SIGTERM})
        return counted(windows, some)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        result = run(house, vendor, 2, visit, stop=lambda: True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert result.tallies[b"d"].seen == set(range(10))
