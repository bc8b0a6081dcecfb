"""Further names: of the published file and of nothing else, in whatever directory."""

import os
from typing import Any

import pytest

from poststage.backends.base import Answer, FileAnswer
from poststage.durable import fsops
from poststage.model import Ended, Entry, Kind, TransferState, Verdict
from poststage.statefile import StateWriter
from tests.finalize import house as h
from tests.finalize.house import House


def pair(house: House, name: str = "g", **changes: Any) -> tuple[Entry, Entry]:
    """A file whose bytes have arrived, and a further name of it."""
    (house.dst / name).parent.mkdir(exist_ok=True)
    base = house.entry("f", 0)
    house.moved(base)
    return base, house.entry(name, 1, kind=Kind.LINK, link_to=0, **changes)


def are_one(*entries: Entry) -> bool:
    """Whether the destinations are names of one file, and no temp name is left."""
    inodes = {h.path_of(entry).lstat().st_ino for entry in entries}
    return len(inodes) == 1 and not any(os.path.lexists(h.temp_of(entry)) for entry in entries)


def record_base(house: House, verdict: Verdict) -> None:
    """As an earlier run does that could not make the link."""
    path = house.state / "d" / "0.state"
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    writer = StateWriter.reopen(fd, path.stat().st_size)
    writer.verdicts({0: Ended(verdict)})
    writer.sync()
    writer.close()


@pytest.mark.parametrize("name", ["g", "sub/g"])
def test_it_is_the_published_file_with_its_metadata(house: House, name: str) -> None:
    base, link = pair(house, name)
    assert h.verdicts(house.job(base, link)) == [Verdict.PUBLISHED] * 2
    assert are_one(base, link)
    assert h.meta_at(h.path_of(link)) == base.meta


def test_a_second_run_finds_it_made(house: House) -> None:
    base, link = pair(house)
    h.settle(house.job(base, link))
    before = h.snapshot(house.dst)
    found = h.settle(house.loaded())
    assert [(one.verdict, one.changed) for one in found] == [(Verdict.PUBLISHED, False)] * 2
    assert h.snapshot(house.dst) == before


def test_what_stood_there_when_it_was_recorded_makes_way(house: House) -> None:
    old = h.identity(h.put(house.dst / "g", b"old"))
    base, link = pair(house, prior=old)
    assert h.verdicts(house.job(base, link)) == [Verdict.PUBLISHED] * 2
    assert are_one(base, link)


@pytest.mark.parametrize("age", [-9, 9])
def test_what_has_come_since_keeps_the_name(house: House, age: int) -> None:
    """The bytes have a name already; a copy of a name is enough."""
    h.put(house.dst / "g", b"theirs", mtime_ns=h.MTIME_NS + age)
    base, link = pair(house)
    assert h.verdicts(house.job(base, link)) == [Verdict.PUBLISHED, Verdict.CONFLICT]
    assert h.path_of(link).read_bytes() == b"theirs"
    assert h.aside_of(link).stat().st_ino == h.path_of(base).stat().st_ino


@pytest.mark.parametrize("age", [-9, 9])
def test_a_file_that_ended_in_conflict_has_its_further_names_all_the_same(
    house: House, age: int
) -> None:
    """The bytes are there, under the file's own name or under the conflict's."""
    base, link = pair(house)
    h.put(house.dst / "f", b"theirs", mtime_ns=h.MTIME_NS + age)
    assert h.verdicts(house.job(base, link)) == [Verdict.CONFLICT, Verdict.PUBLISHED]
    ours, theirs = h.path_of(base), h.aside_of(base)
    if age > 0:
        ours, theirs = theirs, ours
    assert h.path_of(link).stat().st_ino == ours.stat().st_ino
    assert (h.path_of(link).read_bytes(), theirs.read_bytes()) == (h.NEW, b"theirs")


@pytest.mark.parametrize("copies", [0, 2])
def test_a_conflict_of_an_earlier_run_is_found_among_others(house: House, copies: int) -> None:
    base, link = pair(house)
    house.job(base, link)
    for attempt in range(copies):
        h.put(h.aside_of(base, attempt), b"another")
    h.temp_of(base).unlink()
    h.put(h.aside_of(base, copies), h.NEW, mode=base.meta.mode, mtime_ns=base.meta.mtime_ns)
    record_base(house, Verdict.CONFLICT)
    (found,) = h.settle(house.loaded())
    assert found.verdict is Verdict.PUBLISHED
    assert h.path_of(link).stat().st_ino == h.aside_of(base, copies).stat().st_ino


def test_a_conflict_copy_that_its_user_has_removed_has_no_further_name(house: House) -> None:
    base, link = pair(house)
    house.job(base, link)
    h.temp_of(base).unlink()
    h.put(h.path_of(base), b"theirs")
    record_base(house, Verdict.CONFLICT)
    (found,) = h.settle(house.loaded())
    assert found.verdict is Verdict.LOST
    assert not os.path.lexists(h.path_of(link))


def test_a_temp_name_that_was_left_by_a_kill_goes(house: House) -> None:
    base, link = pair(house)
    job = house.job(base, link)
    h.settle(job)
    h.path_of(link).rename(h.temp_of(link))
    assert h.verdicts(house.loaded()) == [Verdict.PUBLISHED] * 2
    assert are_one(base, link)


def test_a_name_that_is_free_again_is_left_to_the_next_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict would be for ever; here nothing stands in the way."""
    publish = fsops.publish

    def lie(dir_fd: int, old: bytes, new: bytes) -> None:
        if new == b"g":
            raise FileExistsError
        publish(dir_fd, old, new)

    base, link = pair(house)
    with monkeypatch.context() as lying:
        lying.setattr(fsops, "publish", lie)
        assert h.verdicts(house.job(base, link)) == [Verdict.PUBLISHED, Verdict.UNKNOWN]
    assert h.verdicts(house.loaded()) == [Verdict.PUBLISHED] * 2
    assert are_one(base, link)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (h.FAILED, Verdict.FAILED),
        (Answer(TransferState.UNKNOWN), Verdict.UNKNOWN),
        (Answer(TransferState.INPROGRESS), Verdict.RUNNING),
        (Answer(TransferState.CANCELED), Verdict.FAILED),
    ],
)
def test_without_its_file_there_is_no_further_name(
    house: House, answer: Answer, verdict: Verdict
) -> None:
    base, link = pair(house)
    assert h.verdicts(house.job(base, link, answer=answer))[1] is verdict
    assert not os.path.lexists(h.path_of(link))


def test_a_file_that_is_not_as_recorded_has_no_further_name(house: House) -> None:
    base, link = pair(house)
    h.temp_of(base).write_bytes(b"short")
    assert h.verdicts(house.job(base, link)) == [Verdict.LOST, Verdict.RUNNING]
    assert not os.path.lexists(h.path_of(link))


@pytest.mark.parametrize("fate", ["gone", "replaced", "written", "a directory"])
def test_what_took_the_place_of_its_published_file_gets_no_further_name(
    house: House, fate: str
) -> None:
    base, link = pair(house)
    house.job(base, link)
    record_base(house, Verdict.PUBLISHED)
    if fate == "replaced":
        h.put(h.path_of(base), h.NEW)
    elif fate == "written":
        h.put(h.path_of(base), h.NEW + b"more", mtime_ns=h.MTIME_NS)
    elif fate == "a directory":
        h.path_of(base).mkdir()
    (found,) = h.settle(house.loaded())
    assert found.verdict is Verdict.LOST
    assert not os.path.lexists(h.path_of(link))


def test_a_file_whose_mode_its_user_has_changed_since_still_gets_its_further_name(
    house: House,
) -> None:
    base, link = pair(house)
    house.job(base, link)
    record_base(house, Verdict.PUBLISHED)
    h.temp_of(base).rename(h.path_of(base))
    h.put(h.path_of(base), h.NEW, mode=0o600, mtime_ns=h.MTIME_NS)
    (found,) = h.settle(house.loaded())
    assert found.verdict is Verdict.PUBLISHED
    assert are_one(base, link)


def test_held_back_files_have_no_further_names(house: House) -> None:
    base, link = pair(house)
    assert {one.verdict for one in h.settle(house.job(base, link), hold=True)} == {Verdict.RUNNING}
    assert not os.path.lexists(h.path_of(link))


def test_a_directory_that_is_missing_costs_only_the_name_in_it(house: House) -> None:
    base, link = pair(house)
    gone = house.entry("gone/g", 2, kind=Kind.LINK, link_to=0)
    found = h.verdicts(house.job(base, link, gone))
    assert found == [Verdict.PUBLISHED, Verdict.PUBLISHED, Verdict.UNKNOWN]


def test_a_partly_failed_transfer_has_the_further_names_of_what_arrived(house: House) -> None:
    base, link = pair(house)
    failed = house.entry("bad", 2)
    answer = Answer(
        TransferState.PARTIALSUCCESS,
        {0: FileAnswer(TransferState.FULLSUCCESS), 2: FileAnswer(TransferState.FAILED)},
    )
    found = h.verdicts(house.job(base, link, failed, answer=answer))
    assert found == [Verdict.PUBLISHED, Verdict.PUBLISHED, Verdict.FAILED]
    assert are_one(base, link)
