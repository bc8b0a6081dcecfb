"""When a dataset is ready as a whole: every part, every file, proven before anything shows."""

import os

import pytest

from poststage.errors import ExitCode
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir
from poststage.model import Entry, Kind
from tests.finalize import house as h
from tests.finalize.house import House, Vendor


def run(house: House, vendor: Vendor) -> Report:
    return finalize_dir(house.state, vendor.options(wait=False, publish="dataset"))


def arrived(house: House, vendor: Vendor, entry: Entry, part: int, *, parts: int = 2) -> Entry:
    house.moved(entry)
    house.write(entry, part=part, parts=parts, handle=vendor.says(part))
    return entry


def shown(house: House) -> set[str]:
    """The names that are no temp names."""
    return {name for name in h.names_in(house.dst) if not name.endswith(".poststage")}


def test_whole_it_is_published_in_one_run(house: House, vendor: Vendor) -> None:
    for part in range(2):
        arrived(house, vendor, house.entry(f"f{part}"), part)
    assert run(house, vendor).exit_code is ExitCode.OK
    assert shown(house) == {"f0", "f1"}


@pytest.mark.parametrize(
    "flaw",
    ["missing part", "damaged", "running", "unknown", "failed", "unrecorded", "short", "checksum"],
)
def test_one_flaw_holds_everything_back(house: House, vendor: Vendor, flaw: str) -> None:
    arrived(house, vendor, house.entry("good"), 0)
    entry = house.entry("bad", checksum=h.checksum(b"x") if flaw == "checksum" else None)
    if flaw != "missing part":
        house.moved(entry, b"short" if flaw == "short" else h.NEW)
        states = {"running": "INPROGRESS", "unknown": "UNKNOWN", "failed": "FAILED"}
        state = states.get(flaw, "FULLSUCCESS")
        handle = vendor.says(1, state, {0: "FAILED"} if flaw == "failed" else {})
        path = house.write(entry, part=1, parts=2, handle=handle, recorded=flaw != "unrecorded")
        if flaw == "damaged":
            path.write_bytes(b"damaged" * 20_000)
    report = run(house, vendor)
    assert shown(house) == set()
    assert report.datasets[0].files.get("running", 0) >= 1
    assert not report.datasets[0].complete


def test_an_owner_that_may_not_be_given_holds_everything_back(house: House, vendor: Vendor) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may give files away")
    arrived(house, vendor, house.entry("good"), 0)
    arrived(house, vendor, house.entry("other", uid=os.geteuid() + 1), 1)
    assert run(house, vendor).exit_code is ExitCode.PERMISSION
    assert shown(house) == set()


def test_links_and_directories_are_held_back_too(house: House, vendor: Vendor) -> None:
    entries = [
        house.entry("f", 0),
        house.entry("l", 1, kind=Kind.SYMLINK, target=b"x", size=0),
        house.entry("g", 2, kind=Kind.LINK, link_to=0),
        house.entry("new", 3, kind=Kind.DIRECTORY, mode=0o755),
    ]
    house.moved(entries[0])
    house.write(*entries, part=0, parts=2, handle=vendor.says(0))
    run(house, vendor)
    assert shown(house) == set()
    arrived(house, vendor, house.entry("late"), 1)
    assert run(house, vendor).exit_code is ExitCode.OK
    assert shown(house) == {"f", "l", "g", "new", "late"}


def test_a_conflict_holds_nothing_back(house: House, vendor: Vendor) -> None:
    """Both files are there, and nothing will change that."""
    h.put(house.dst / "f0", b"theirs", mtime_ns=h.MTIME_NS + 5)
    for part in range(2):
        arrived(house, vendor, house.entry(f"f{part}"), part)
    assert run(house, vendor).exit_code is ExitCode.NEEDS_PERSON
    assert {"f0", "f1"} < shown(house)


def test_parts_that_were_published_before_count(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry("f0"), 0)
    finalize_dir(house.state, vendor.options(wait=False, publish="file"))
    arrived(house, vendor, house.entry("f1"), 1)
    assert run(house, vendor).exit_code is ExitCode.OK
    assert shown(house) == {"f0", "f1"}


def test_a_damaged_state_file_beside_all_parts_holds_everything_back(
    house: House, vendor: Vendor
) -> None:
    """Nobody can say which part it was, nor of what."""
    for part in range(2):
        arrived(house, vendor, house.entry(f"f{part}"), part)
    (house.state / "d" / "x.state").write_bytes(b"damaged" * 20_000)
    assert run(house, vendor).exit_code is ExitCode.DATA
    assert shown(house) == set()


@pytest.mark.parametrize("missing", [None, 2])
def test_judged_by_several_processes_it_is_ready_only_if_every_part_is(
    house: House, vendor: Vendor, missing: int | None
) -> None:
    entries = [house.entry(f"many{part}") for part in range(4)]
    for part, entry in enumerate(entries):
        if part != missing:
            house.moved(entry)
        house.write(entry, part=part, parts=4, handle=vendor.says(part))
    options = vendor.options(publish="dataset", wait=False, jobs=3)
    report = finalize_dir(house.state, options)
    assert report.datasets[0].complete is (missing is None)
    assert [h.is_published(entry) for entry in entries] == [missing is None] * 4
