"""The tight loop takes what plan.py would publish at once, and nothing else."""

import itertools
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from poststage.backends.base import Answer, FileAnswer
from poststage.finalize.dirs import Dirs
from poststage.finalize.express import express, is_ordinary
from poststage.finalize.plan import Action, plan_file
from poststage.finalize.seen import Fate, Seen, facts_of
from poststage.finalize.work import Job, Pool, Work, fate_of
from poststage.model import Entry, Kind, TransferState, Verdict
from poststage.statefile.codec import entry_record
from tests.finalize import house as h
from tests.finalize.house import House

P = Verdict.PUBLISHED
EUID, RECORDED, OTHER = 1000, 1001, 1002
MODES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK)
TIMES = (h.MTIME_NS, h.CLOSED_NS, 5)


def expressed(job: Job, pool: Pool | None = None) -> list[int]:
    """The entries that the tight loop alone has published."""
    dirs = Dirs()
    try:
        express([job], Work(dirs, lambda: False, pool=pool))
    finally:
        dirs.close()
    left = set(job.outcomes.unmarked())
    return [index for index in range(len(job.state.entries)) if index not in left]


def fact(mode: int, nlink: int, uid: int, size: int, mtime_ns: int) -> os.stat_result:
    """What fstat says of such a temp file."""
    seconds, exact = mtime_ns // 10**9, {"st_mtime_ns": mtime_ns, "st_atime_ns": 1}
    fields = (mode | 0o600, 7, 1, nlink, uid, 5, size, 0, seconds, 0)
    return os.stat_result(fields, {**exact, "st_ctime_ns": 3})


def test_ordinary_is_exactly_what_the_table_publishes_without_a_further_look(house: House) -> None:
    size = len(h.NEW)
    entry = house.entry(uid=RECORDED)
    record = entry_record(entry)
    found = set()
    for mode, nlink, uid, length, mtime_ns, closed in itertools.product(
        MODES, (1, 2), (EUID, RECORDED, OTHER), (0, size, size + 1), TIMES, (None, *TIMES)
    ):
        info = fact(mode, nlink, uid, length, mtime_ns)
        temp = facts_of(info)
        seen = Seen(entry, Fate.DONE, "", temp, looked=False, closed_mtime_ns=closed, euid=EUID)
        plan = plan_file(seen)
        publishes = plan.action is Action.PUBLISH and plan.verdict is P
        assert is_ordinary(info, record, closed, EUID) is (publishes and nlink == 1), (
            info,
            closed,
            plan,
        )
        found.add(publishes)
    assert found == {True, False}


def test_whole_files_of_any_name_are_published_by_it(house: House) -> None:
    names = ["f", "zwei Wörter", "100%", 'a"b\\c', "\x7f", ".hidden", "x" * 200]
    entries = [house.entry(name, index) for index, name in enumerate(names)]
    for entry in entries:
        house.moved(entry)
    assert expressed(house.job(*entries)) == list(range(len(names)))
    assert all(map(h.is_published, entries))


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": h.checksum(h.NEW)},
        {"kind": Kind.SYMLINK, "target": b"x"},
        {"kind": Kind.DIRECTORY},
        {"size": 1},
    ],
    ids=lambda change: "+".join(change),
)
def test_what_is_not_ordinary_is_left_as_it_is(house: House, change: dict[str, Any]) -> None:
    entry = house.entry(**change)
    if entry.kind is not Kind.DIRECTORY:
        house.moved(entry)
    job, before = house.job(entry), h.snapshot(house.dst)
    assert expressed(job) == []
    assert h.snapshot(house.dst) == before
    assert not job.outcomes


def test_what_replaces_a_file_is_left_to_apply(house: House) -> None:
    entry = house.entry(prior=h.identity(h.put(house.dst / "f", b"old")))
    house.moved(entry)
    assert expressed(house.job(entry)) == []


@pytest.mark.parametrize("state", TransferState)
def test_of_a_transfer_only_what_is_said_to_be_whole_is_taken(
    house: House, state: TransferState
) -> None:
    whole, failed, silent = (house.entry(f"f{index}", index) for index in range(3))
    for entry in (whole, failed, silent):
        house.moved(entry)
    told = {
        0: FileAnswer(TransferState.FULLSUCCESS, mtime_ns=h.CLOSED_NS),
        1: FileAnswer(TransferState.FAILED),
    }
    answer = Answer(state, told)
    taken = expressed(house.job(whole, failed, silent, answer=answer))
    assert taken == [index for index in range(3) if fate_of(answer, index)[0] is Fate.DONE]
    assert taken == ([] if state is TransferState.UNKNOWN else [0])


@pytest.mark.parametrize("state", TransferState)
def test_where_nothing_is_said_of_single_files_the_transfer_as_a_whole_counts(
    house: House, state: TransferState
) -> None:
    entry = house.entry()
    house.moved(entry)
    taken = expressed(house.job(entry, answer=Answer(state)))
    assert taken == ([0] if state is TransferState.FULLSUCCESS else [])


def test_a_taken_name_is_left_and_the_metadata_are_as_recorded_already(house: House) -> None:
    entry = house.entry()
    temp = house.moved(entry)
    h.put(house.dst / "f", b"theirs")
    job = house.job(entry)
    assert expressed(job) == []
    assert h.meta_at(temp) == entry.meta
    assert h.verdicts(job) == [Verdict.CONFLICT]


def test_more_directories_than_one_batch_are_all_taken(house: House) -> None:
    entries: list[Entry] = []
    for index in range(1100):
        (house.dst / f"d{index}").mkdir()
        entries.append(house.entry(f"d{index}/f", index))
        house.moved(entries[-1])
    assert len(expressed(house.job(*entries))) == 1100


def test_with_help_it_does_the_same(house: House) -> None:
    entries = [house.entry(f"f{index}", index) for index in range(200)]
    for entry in entries:
        house.moved(entry)
    h.put(house.dst / "f7", b"theirs")
    with ThreadPoolExecutor(4) as pool:
        job = house.job(*entries)
        assert expressed(job, pool) == [*range(7), *range(8, 200)]
    assert job.outcomes.marked_bytes == 199 * len(h.NEW)
    assert all(h.is_published(entry) for entry in entries if entry is not entries[7])


def test_a_file_is_left_by_it_as_it_is_left_by_apply(house: House) -> None:
    quick, slow = house.entry("quick", 0), house.entry("slow", 1, checksum=h.checksum(h.NEW))
    for entry in (quick, slow):
        house.moved(entry)
    job = house.job(quick, slow)
    assert h.verdicts(job) == [P, P]
    assert list(job.outcomes.unmarked()) == [1]
    assert h.is_published(quick)
    assert h.is_published(slow)
