"""A rank that is not the first: it does what it is given, and never calls undone work done."""

import os
import threading
import time
from collections.abc import Callable, Collection

import pytest

from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize import helping, ranks
from poststage.finalize.helping import help_finalize
from poststage.finalize.hosting import listening
from poststage.finalize.parallel import Crew, Make, Taking, Visit
from poststage.finalize.pending import Pending
from poststage.finalize.ranks import Line
from poststage.finalize.run import finalize_dir
from poststage.finalize.window import Result
from poststage.model import Verdict
from tests.finalize.house import House, Vendor, is_published


def arrived(house: House, vendor: Vendor, parts: int) -> None:
    for part in range(parts):
        entry = house.entry(f"f{part}")
        house.moved(entry)
        house.write(entry, part=part, parts=parts, handle=vendor.says(part))


def test_where_nothing_is_pending_there_is_nothing_to_help_with(
    house: House, vendor: Vendor
) -> None:
    assert help_finalize(house.state, vendor.options()).exit_code is ExitCode.OK


def test_without_a_first_rank_it_waits_until_its_deadline_and_touches_nothing(
    house: House, vendor: Vendor
) -> None:
    arrived(house, vendor, 1)
    report = help_finalize(house.state, vendor.options(deadline_s=0.2))
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert not is_published(house.entry("f0"))


def test_it_works_on_what_it_is_given_until_it_is_told_that_it_is_over(
    house: House, vendor: Vendor
) -> None:
    arrived(house, vendor, 6)
    base = os.fsencode(house.state)
    pending = [ranks.pending_of(b"d", b"%d.state" % part, base) for part in range(6)]
    guests, taking = listening(base, 2), Taking(pending, 1, 2)
    assert guests is not None
    guests.on_terms(wait=False, held=lambda directory: False).lend(taking)
    codes: list[ExitCode] = []
    options = vendor.options()
    helper = threading.Thread(
        target=lambda: codes.append(help_finalize(house.state, options).exit_code)
    )
    helper.start()
    end = time.monotonic() + 30
    while not all((house.state / f"d/{part}.done").exists() for part in range(6)):
        assert time.monotonic() < end
    assert guests.settled(taking, lambda: False)
    report = guests.collected().tallies[b"d"].report()
    guests.close()
    helper.join(30)
    assert codes == [ExitCode.OK]
    assert report.files == {Verdict.PUBLISHED.value: 6}
    assert all(is_published(house.entry(f"f{part}")) for part in range(6))


def test_it_stops_when_the_first_rank_goes_for_the_lock_went_with_it(
    house: House, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived(house, vendor, 2)
    stopped: list[bool] = []
    first: list[Line] = []

    def work(
        make: Make, some: Collection[Pending], chosen: Crew, visit: Visit, stop: Callable[[], bool]
    ) -> Result:
        assert not stop()
        first[0].close()
        end = time.monotonic() + 30
        while not stop() and time.monotonic() < end:
            pass
        stopped.append(time.monotonic() < end and stop())
        return Result({}, [], [])

    monkeypatch.setattr(helping, "shared_out", work)
    options, ear = vendor.options(), ranks.Ear()
    fd = fsops.open_dir(os.fsencode(house.state))
    ear.leave_word(fd)
    codes: list[ExitCode] = []
    helper = threading.Thread(
        target=lambda: codes.append(help_finalize(house.state, options).exit_code)
    )
    helper.start()
    line = ear.next()
    assert line is not None
    first.append(line)
    line.send(ranks.Task(False, [(b"d", b"0.state"), (b"d", b"1.state")]))
    helper.join(60)
    assert (stopped, codes) == ([True], [ExitCode.RUN_AGAIN])
    ear.close()
    os.close(fd)


def test_the_first_rank_alone_does_it_all(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, 3)
    report = finalize_dir(house.state, vendor.options(ranks=4))
    assert report.exit_code is ExitCode.OK
    assert report.datasets[0].complete
    assert help_finalize(house.state, vendor.options()).exit_code is ExitCode.OK
