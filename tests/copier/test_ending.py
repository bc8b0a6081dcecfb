"""How transfers end: by their files, by a cancel, by a stop; and a crash in between."""

import os
from collections.abc import Callable

import pytest

from poststage.copier import ending
from poststage.copier.queue import Book
from poststage.copier.records import EventRecord, ItemRecord, OutcomeRecord, outcome
from poststage.model import TransferState
from tests.copier.scene import Place

GOOD, BAD, GONE = TransferState.FULLSUCCESS, TransferState.FAILED, TransferState.CANCELED


def ended(place: Place, *states: TransferState) -> Book:
    """A transfer with a file of each state, and its temp files."""
    items = [place.item(index) for index, _ in enumerate(states)]
    book = place.started("tag", items)
    with book.changed:
        for item, state in zip(items, states, strict=True):
            place.target(item.index).write_bytes(b"temp")
            book.put(outcome(item, state))
    return book


@pytest.mark.parametrize(
    ("states", "end"),
    [
        ((GOOD, GOOD), GOOD),
        ((GOOD, BAD), TransferState.PARTIALSUCCESS),
        ((BAD, BAD), BAD),
        ((), GOOD),
    ],
)
def test_a_transfer_ends_with_its_last_file(
    place: Place, states: tuple[TransferState, ...], end: TransferState
) -> None:
    book = ended(place, *states)
    with book.changed:
        ending.end_if_done(book)
        ending.end_if_done(book)
    assert place.reload().book(book.transfer.handle).transfer.end is end


def test_an_ended_transfer_is_durable_and_holds_no_descriptor(place: Place) -> None:
    before = len(os.listdir("/proc/self/fd"))
    book = ended(place, GOOD, BAD)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    with book.changed:
        ending.end_if_done(book)
    assert len(os.listdir("/proc/self/fd")) == before, "it closes only what is synced"


def test_a_transfer_with_an_open_file_does_not_end(place: Place) -> None:
    book = place.started("tag", [place.item(0), place.item(1)])
    with book.changed:
        book.put(OutcomeRecord(0, "FULLSUCCESS"))
        ending.end_if_done(book)
    assert book.transfer.end is None


def cancelled(place: Place, items: list[ItemRecord], copied: list[int]) -> Book:
    """A cancelled transfer of which some files are copied; every temp file is there."""
    book = place.started("tag", items)
    with book.changed:
        for item in items:
            place.target(item.index).write_bytes(b"temp")
            if item.index in copied:
                book.put(OutcomeRecord(item.index, "FULLSUCCESS"))
        book.put(EventRecord("cancelled", 1))
        book.sync()
    return book


def states(book: Book) -> dict[int, str]:
    """How each file ended."""
    return {index: record.state for index, record in book.transfer.outcomes.items()}


def test_a_cancel_removes_all_temp_files_and_says_so(place: Place) -> None:
    book = cancelled(place, [place.item(0), place.item(1)], copied=[0])
    with book.changed:
        ending.end_cancelled(book)
    assert os.listdir(place.targets) == []
    assert book.transfer.end is GONE
    assert states(book) == {0: "CANCELED", 1: "CANCELED"}


def test_a_cancel_leaves_a_copied_file_that_a_finalizer_has_taken(place: Place) -> None:
    book = cancelled(place, [place.item(0)], copied=[0])
    place.target(0).rename(place.targets / "published")
    with book.changed:
        ending.end_cancelled(book)
    assert states(book) == {0: "FULLSUCCESS"}
    assert (place.targets / "published").exists()


def test_a_cancel_before_the_start_touches_no_file(place: Place) -> None:
    book = place.queue.open("tag")
    place.target(0).write_bytes(b"not of this transfer's making")
    with book.changed:
        book.put(place.item(0), EventRecord("cancelled", 1))
        ending.end_cancelled(book)
    assert book.transfer.end is GONE
    assert place.target(0).exists()


@pytest.mark.parametrize("plant", ["symlink", "link", "directory", "fifo"])
def test_a_cancel_removes_nothing_that_a_copier_does_not_make(place: Place, plant: str) -> None:
    book = cancelled(place, [place.item(0)], copied=[])
    victim = place.targets / "victim"
    victim.write_bytes(b"precious")
    target = place.target(0)
    target.unlink()
    plants: dict[str, Callable[[], None]] = {
        "symlink": lambda: target.symlink_to(victim),
        "link": lambda: os.link(victim, target),
        "directory": target.mkdir,
        "fifo": lambda: os.mkfifo(target),
    }
    plants[plant]()
    with book.changed:
        ending.end_cancelled(book)
    assert os.path.lexists(target)
    assert victim.read_bytes() == b"precious"
    assert book.transfer.end is GONE


def test_a_cancel_ends_though_a_directory_is_gone(place: Place) -> None:
    book = cancelled(place, [place.item(0)], copied=[])
    place.target(0).unlink()
    place.targets.rmdir()
    with book.changed:
        ending.end_cancelled(book)
    assert book.transfer.end is GONE


def test_a_cancel_that_was_killed_on_the_way_never_calls_a_removed_file_copied(
    place: Place,
) -> None:
    book = cancelled(place, [place.item(0)], copied=[0])
    journal = place.queue_dir / f"{book.transfer.handle}.journal"
    with book.changed:
        ending.end_cancelled(book)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))  # killed before the last line
    again = place.reload().book(book.transfer.handle)
    with again.changed:
        ending.end_cancelled(again)
    assert states(again) == {0: "CANCELED"}
    assert again.transfer.end is GONE


def test_a_stop_is_told_only_of_what_is_being_copied(place: Place) -> None:
    waits, done = place.queue.open("waits"), ended(place, GOOD)
    runs = place.started("runs", [place.item(5)])
    for book in (waits, done, runs):
        with book.changed:
            ending.end_if_done(book)
            ending.journal_stop(book)
    stopped = {book.transfer.tag: book.transfer.state for book in place.reload().books.values()}
    assert stopped == {
        "waits": TransferState.NOTSTARTED,
        "tag": GOOD,
        "runs": TransferState.STOPPED,
    }
