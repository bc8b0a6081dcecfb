"""What a journal says of a transfer: the order of its records, and every prefix of it."""

import os
from pathlib import Path

import pytest

from poststage.copier.records import (
    EndRecord,
    EventRecord,
    ItemRecord,
    OutcomeRecord,
    ProgressRecord,
    Record,
    TransferRecord,
    encode,
)
from poststage.copier.transfer import Transfer, replay, source_of, target_of
from poststage.durable import journal
from poststage.model import TransferState

HEAD = TransferRecord(1, "tag", "00000000-tag", 1)
ITEMS = [ItemRecord(n, f"/bb/{n}", f"/pfs/.{n}", 100, 1) for n in (4, 2)]
STARTED: Record = EventRecord("started", 2, 2)
STOPPED, CANCELLED = EventRecord("stopped", 3), EventRecord("cancelled", 3)
GOOD, BAD = OutcomeRecord(4, "FULLSUCCESS", "", 9), OutcomeRecord(2, "FAILED", "why")
HALF = ProgressRecord(2, 50)
STORY: list[Record] = [HEAD, *ITEMS, STARTED, GOOD, HALF, BAD, EndRecord("PARTIALSUCCESS", 4)]


def told(*records: Record) -> Transfer:
    """The transfer of these records."""
    transfer = Transfer()
    for record in records:
        transfer.take(record)
    return transfer


@pytest.mark.parametrize(
    ("records", "state"),
    [
        (STORY[:1], TransferState.NOTSTARTED),
        (STORY[:3], TransferState.NOTSTARTED),
        (STORY[:4], TransferState.INPROGRESS),
        (STORY[:7], TransferState.INPROGRESS),
        (STORY, TransferState.PARTIALSUCCESS),
        ([*STORY[:4], STOPPED], TransferState.STOPPED),
        ([*STORY[:4], STOPPED, EventRecord("started", 5)], TransferState.INPROGRESS),
        ([*STORY[:4], CANCELLED], TransferState.INPROGRESS),
        ([HEAD, CANCELLED, EndRecord("CANCELED", 4)], TransferState.CANCELED),
    ],
)
def test_each_record_moves_the_state(records: list[Record], state: TransferState) -> None:
    assert told(*records).state is state


@pytest.mark.parametrize(
    "records",
    [
        [ITEMS[0]],
        [HEAD, HEAD],
        [TransferRecord(2, "tag", "h", 1)],
        [HEAD, STARTED],
        [HEAD, *ITEMS, EventRecord("started", 1)],
        [HEAD, *ITEMS, STARTED, ItemRecord(9, "/bb/9", "/pfs/.9", 1, 1)],
        [HEAD, CANCELLED, ITEMS[0]],
        [HEAD, ITEMS[0], ITEMS[0]],
        [HEAD, ITEMS[0], ItemRecord(5, "/bb/5", ITEMS[0].target, 1, 1)],
        [HEAD, *ITEMS, GOOD],
        [HEAD, *ITEMS, STARTED, OutcomeRecord(9, "FAILED")],
        [*STORY, GOOD],
        [*STORY, CANCELLED],
    ],
)
def test_a_record_out_of_place_is_refused(records: list[Record]) -> None:
    with pytest.raises(ValueError, match=r"."):
        told(*records)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], None),
        ([GOOD], None),
        ([GOOD, BAD], TransferState.PARTIALSUCCESS),
        ([OutcomeRecord(4, "FAILED"), BAD], TransferState.FAILED),
        ([GOOD, OutcomeRecord(2, "FULLSUCCESS")], TransferState.FULLSUCCESS),
    ],
)
def test_the_verdict_follows_from_the_files(
    outcomes: list[Record], verdict: TransferState | None
) -> None:
    assert told(*STORY[:4], *outcomes).verdict() is verdict


def test_a_transfer_without_files_succeeds() -> None:
    assert told(HEAD, EventRecord("started", 1, 0)).verdict() is TransferState.FULLSUCCESS


def test_a_transfer_that_was_not_started_has_no_verdict() -> None:
    assert told(HEAD).verdict() is None


def test_bytes_are_counted_once_whether_proven_live_or_ended() -> None:
    transfer = told(*STORY[:6])
    assert transfer.bytes_done({}) == 150
    assert transfer.bytes_done({2: 20}) == 150
    assert transfer.bytes_done({2: 70}) == 170


def test_names_are_bytes() -> None:
    item = ItemRecord(0, "/bb/%FF%0A", "/pfs/.%FF%0A", 0, 0)
    assert source_of(item) == b"/bb/\xff\n"
    assert target_of(item) == (b"/pfs", b".\xff\n")


def test_a_journal_cut_at_any_byte_is_a_prefix_of_its_story(tmp_path: Path) -> None:
    whole = b"".join(journal.frame(encode(record)) for record in STORY)
    ends = [0]
    for record in STORY:
        ends.append(ends[-1] + len(journal.frame(encode(record))))
    path = tmp_path / "journal"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        fd = os.open(path, os.O_RDONLY)
        transfer, bytes_read = replay(fd)
        os.close(fd)
        records = sum(end <= length for end in ends) - 1
        assert bytes_read == ends[records]
        assert transfer.state is told(*STORY[:records]).state
        assert transfer.outcomes == told(*STORY[:records]).outcomes


def test_damage_within_a_journal_is_told_by_its_line(tmp_path: Path) -> None:
    lines = [journal.frame(encode(record)) for record in STORY]
    path = tmp_path / "journal"
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"100", b"900"), *lines[3:]]))
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="line 3"):
            replay(fd)
    finally:
        os.close(fd)
