"""A bounded number of state files at once; each that cannot be read is told and skipped."""

import os

import pytest

from poststage.errors import ExitCode
from poststage.finalize import window
from poststage.finalize.pending import Pending
from poststage.finalize.window import Result, Windows
from tests.finalize import house as h
from tests.finalize.house import House, Vendor
from tests.finalize.kernel import calls_of
from tests.finalize.plants import PLANTS


def pending(house: House, part: int) -> Pending:
    name = b"%d.state" % part
    return Pending(b"d", name, os.fsencode(house.state) + b"/d/" + name)


def worked(house: House, vendor: Vendor, *parts: int, wait: bool = False) -> Result:
    windows = Windows(house.state, vendor.options(), lambda: False)
    try:
        some = [pending(house, part) for part in parts]
        return windows.run(some, wait=wait, held=lambda directory: False)
    finally:
        windows.close()


def test_a_state_file_that_another_finalizer_has_set_aside_is_no_error(
    house: House, vendor: Vendor
) -> None:
    assert worked(house, vendor, 0) == Result({}, [], [])


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_no_state_file_is_damage_and_harms_no_other(
    house: House, vendor: Vendor, plant: str
) -> None:
    PLANTS[plant](house.state / "d" / "0.state")
    house.moved(house.entry())
    house.write(house.entry(), part=1, parts=2, handle=vendor.says(1))
    tally = worked(house, vendor, 0, 1).tallies[b"d"]
    assert ExitCode.DATA in tally.codes
    assert tally.seen == {0, 1}
    assert h.is_published(house.entry())


def test_what_still_runs_comes_back_untouched_and_uncounted(house: House, vendor: Vendor) -> None:
    house.write(house.entry(), handle=vendor.says(0, "INPROGRESS"))
    house.moved(house.entry())
    before = h.snapshot(house.dst)
    result = worked(house, vendor, 0, wait=True)
    assert [one.name for one in result.waiting] == [b"0.state"]
    assert result.tallies == {}
    assert h.snapshot(house.dst) == before


def test_state_files_come_in_windows_of_bounded_size(house: House, vendor: Vendor) -> None:
    parts = range(window._STATES_MAX + 1)
    for part in parts:
        house.write(part=part, parts=len(parts))
    windows = Windows(house.state, vendor.options(), lambda: False)
    sizes = [
        len(one) for one in windows.loaded((pending(house, k) for k in parts), Result({}, [], []))
    ]
    windows.close()
    assert sizes == [window._STATES_MAX, 1]


def test_many_entries_fill_a_window_before_many_files_do(house: House, vendor: Vendor) -> None:
    many = [house.entry(f"f{index}", index) for index in range(window._ENTRIES_MAX)]
    for part in range(2):
        house.write(*many, part=part, parts=2)
    windows = Windows(house.state, vendor.options(), lambda: False)
    some = [pending(house, part) for part in range(2)]
    assert [len(one) for one in windows.loaded(some, Result({}, [], []))] == [1, 1]
    windows.close()


def test_the_record_is_durable_when_a_window_is_done(house: House, vendor: Vendor) -> None:
    house.moved(house.entry())
    house.write(house.entry(), handle=vendor.says(0))
    calls = calls_of(lambda: worked(house, vendor, 0))
    assert calls[-2:] == ["rename", "fsync"]


def test_verdicts_are_durable_when_a_window_is_done(house: House, vendor: Vendor) -> None:
    house.write(house.entry(), handle=vendor.says(0, "FAILED", {0: "FAILED"}))
    assert calls_of(lambda: worked(house, vendor, 0))[-2:] == ["fsync", "fsync"]
