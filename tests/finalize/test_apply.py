"""Whole windows: durable before named, one bad file harms no other, a stop is clean."""

import os
from itertools import count

import pytest
from msgspec.structs import replace

from poststage.backends.base import Answer, FileAnswer
from poststage.errors import ExitCode
from poststage.finalize.apply import STOPPED, dry_run
from poststage.finalize.dirs import Dirs
from poststage.finalize.prepare import HELD_BACK
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Kind, TransferState, Verdict
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.kernel import calls_of

P = Verdict.PUBLISHED


def many(house: House, number: int, directory: str = "") -> list[Entry]:
    if directory:
        (house.dst / directory).mkdir()
    entries = [house.entry(os.path.join(directory, f"f{index}"), index) for index in range(number)]
    for entry in entries:
        house.moved(entry)
    return entries


def test_all_metadata_comes_before_the_one_sync_and_all_names_after_it(house: House) -> None:
    job = house.job(*many(house, 5))
    assert calls_of(lambda: h.settle(job)) == [
        *["chmod", "utime"] * 5,
        "syncfs",
        *["renameat2"] * 5,
        "fsync",
    ]


def test_each_directory_is_synced_once_after_its_names(house: House) -> None:
    entries = [*many(house, 3, "a"), *many(house, 3, "b")]
    calls = calls_of(lambda: h.settle(house.job(*entries)))
    assert calls[-8:] == [*["renameat2"] * 6, "fsync", "fsync"]


def test_what_was_replaced_goes_when_the_new_name_is_durable(house: House) -> None:
    entry = house.entry(prior=h.identity(h.put(house.dst / "f", b"old")))
    house.moved(entry)
    job = house.job(entry)
    calls = calls_of(lambda: h.settle(job))
    assert calls == ["chmod", "utime", "syncfs", "renameat2", "fsync", "remove", "fsync"]


def test_a_further_name_comes_when_its_file_has_its_own_and_is_synced_too(house: House) -> None:
    entry = house.entry()
    house.moved(entry)
    job = house.job(entry, house.entry("g", 1, kind=Kind.LINK, link_to=0))
    calls = calls_of(lambda: h.settle(job))
    first, further = calls[2:5], calls[5:]
    assert first == ["syncfs", "renameat2", "fsync"]
    assert further == ["remove", "link", "renameat2", "fsync"]  # of what a kill may have left


def test_one_bad_file_harms_no_other(house: House) -> None:
    entries = many(house, 6)
    h.temp_of(entries[1]).unlink()
    h.temp_of(entries[2]).write_bytes(b"short")
    (house.dst / "f3").mkdir()
    h.temp_of(entries[4]).unlink()
    os.mkfifo(h.temp_of(entries[4]))
    found = h.verdicts(house.job(*entries))
    assert found == [P, Verdict.LOST, Verdict.LOST, Verdict.CONFLICT, Verdict.LOST, P]


def test_two_parts_that_name_one_destination_both_keep_their_bytes(house: House) -> None:
    first, second = house.entry("f", 0), house.entry("f", 1, size=3)
    house.moved(first)
    house.moved(second, b"two")
    jobs = house.job(first, part=0, parts=2), house.job(second, part=1, parts=2)
    assert set(h.verdicts(*jobs)) == {P, Verdict.CONFLICT}
    assert {h.read(path) for path in house.dst.iterdir()} == {h.NEW, b"two"}


def test_two_parts_that_replace_one_recorded_file_both_keep_their_bytes(house: House) -> None:
    """Both saw the recorded file there; what the first has just published is not that."""
    prior = h.identity(h.put(house.dst / "f", b"old"))
    first = house.entry("f", 0, prior=prior)
    second = house.entry("f", 1, prior=prior, size=3)
    house.moved(first)
    house.moved(second, b"two")
    jobs = house.job(first, part=0, parts=2), house.job(second, part=1, parts=2)
    assert set(h.verdicts(*jobs)) == {P, Verdict.CONFLICT}
    assert {h.read(path) for path in house.dst.iterdir()} == {h.NEW, b"two"}


def test_a_part_whose_name_another_part_took_is_no_loss_though_nothing_was_recorded(
    house: House,
) -> None:
    """A crash between the names and the record, and transfers of two different seconds."""
    first, second = house.entry("f", 0), house.entry("f", 1, size=3)
    house.moved(first)
    house.moved(second, b"two")
    house.write(first, part=0, parts=2)
    house.write(second, part=1, parts=2, created_ns=h.CREATED_NS + 3 * 10**9)
    h.settle(house.loaded(part=0), house.loaded(part=1))
    before = h.snapshot(house.dst)
    again = h.verdicts(house.loaded(part=0), house.loaded(part=1))
    assert again == [Verdict.CONFLICT] * 2
    assert h.snapshot(house.dst) == before


def test_a_stop_is_clean_at_every_file(house: House) -> None:
    entries = many(house, 4)
    asked = count()
    found = h.settle(house.job(*entries), stopped=lambda: next(asked) > 5)
    assert {one.verdict for one in found} == {P, Verdict.RUNNING}
    assert {one.code for one in found if one.verdict is Verdict.RUNNING} == {ExitCode.RUN_AGAIN}
    for entry, one in zip(entries, found, strict=True):
        assert h.is_published(entry) is (one.verdict is P)
    assert h.verdicts(house.loaded()) == [P] * 4


def test_stopped_at_once_nothing_changes(house: House) -> None:
    link = house.entry("l", 2, kind=Kind.SYMLINK, target=b"x")
    job = house.job(*many(house, 2), link)
    before = h.snapshot(house.dst)
    assert h.settle(job, stopped=lambda: True) == [STOPPED] * 3
    assert h.snapshot(house.dst) == before


def test_a_stopped_run_tells_of_a_running_transfer_that_it_is_running(house: House) -> None:
    answer = Answer(TransferState.INPROGRESS, reason="1 of 2 GB")
    (found,) = h.settle(house.job(house.entry(), answer=answer), stopped=lambda: True)
    assert (found.verdict, found.reason) == (Verdict.RUNNING, "1 of 2 GB")


def test_more_directories_than_are_kept_open_are_no_hindrance(house: House) -> None:
    entries = [many(house, 1, f"d{index}")[0] for index in range(300)]
    assert h.verdicts(house.job(*entries)) == [P] * 300


def test_a_directory_that_goes_away_meanwhile_costs_only_its_own_files(house: House) -> None:
    """More directories than are kept open: the first are opened again when they are needed."""
    proven = {"checksum": h.checksum(h.NEW)}  # so no ordinary one
    entries = [replace(many(house, 1, f"d{k:03}")[0], **proven) for k in range(300)]
    asked = count()

    def goes() -> bool:
        if next(asked) == 299:  # all but one are prepared
            (house.dst / "d000").rename(house.dst / "elsewhere")
        return False

    found = h.settle(house.job(*entries), stopped=goes)
    assert [one.verdict for one in found] == [Verdict.UNKNOWN, *[P] * 299]
    assert h.names_in(house.dst / "elsewhere") == {h.temp_of(entries[0]).name}


def planned(job: Job, *, hold: bool = False) -> list[Verdict]:
    dirs = Dirs()
    dry_run([job], Work(dirs, lambda: False, hold=hold))
    dirs.close()
    return [job.outcomes[index].verdict for index in sorted(job.outcomes)]


def mixed(house: House) -> list[Entry]:
    """Each kind, one file failed with a further name, one conflict."""
    good, bad, taken = house.entry("f", 0), house.entry("bad", 1), house.entry("taken", 2)
    for entry in (good, bad, taken):
        house.moved(entry)
    h.put(house.dst / "taken", b"theirs")
    return [
        good,
        bad,
        taken,
        house.entry("l", 3, kind=Kind.SYMLINK, target=b"x", size=0),
        house.entry("sub", 4, kind=Kind.DIRECTORY, mode=0o750),
        house.entry("g", 5, kind=Kind.LINK, link_to=0),
        house.entry("h", 6, kind=Kind.LINK, link_to=1),
    ]


ANSWER = Answer(
    TransferState.PARTIALSUCCESS,
    {
        0: FileAnswer(TransferState.FULLSUCCESS),
        1: FileAnswer(TransferState.FAILED, "no"),
        2: FileAnswer(TransferState.FULLSUCCESS),
    },
)


def test_a_dry_run_tells_what_a_run_does_and_changes_nothing(house: House) -> None:
    house.write(*mixed(house))
    before = h.snapshot(house.dst, house.state)
    told = planned(house.loaded(answer=ANSWER))
    assert h.snapshot(house.dst, house.state) == before
    assert told == h.verdicts(house.loaded(answer=ANSWER))


def test_a_dry_run_tells_what_would_be_held_back(house: House) -> None:
    job = house.job(*mixed(house), answer=ANSWER)
    told = planned(job, hold=True)
    assert told == [Verdict.RUNNING, Verdict.FAILED, *[Verdict.RUNNING] * 5]
    assert job.outcomes[0].reason == HELD_BACK


@pytest.mark.parametrize("state", [TransferState.INPROGRESS, TransferState.UNKNOWN])
def test_a_dry_run_promises_nothing_of_what_has_not_ended(
    house: House, state: TransferState
) -> None:
    told = planned(house.job(*mixed(house), answer=Answer(state)))
    assert len(set(told)) == 1
    assert not told[0].final
