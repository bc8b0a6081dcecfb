"""One file of a transfer: from its record to its outcome, and the proofs on the way."""

import logging
import os

import pytest

from poststage.copier import queue as queues
from poststage.copier.copying import Pending, settled, write_item
from poststage.copier.manners import Plain
from poststage.copier.queue import Book
from poststage.copier.records import ItemRecord, OutcomeRecord
from tests.copier.scene import Place


class Stops(Plain):
    """Manners that stop the transfer when a file comes to `offset`."""

    def __init__(self, book: Book, offset: int) -> None:
        super().__init__()
        self.book, self.offset = book, offset

    def piece(self, item: ItemRecord, position: int, offset: int, want: int) -> tuple[int, float]:
        """Pieces of 1000 bytes."""
        self.book.stopping = offset >= self.offset
        return min(want, 1000), 0.0


def copied(place: Place, book: Book, manners: Plain | None = None) -> OutcomeRecord | None:
    """The outcome of the transfer's only file."""
    found = write_item(book, book.transfer.items[0], 1, manners or Plain(), 1000)
    if not isinstance(found, Pending):
        return found
    (record,) = settled([found])
    found.close()
    return record


def test_a_copied_file_tells_its_temp_file_s_mtime(place: Place) -> None:
    record = copied(place, place.started("tag", [place.item(0)]))
    assert record == OutcomeRecord(0, "FULLSUCCESS", "", place.target(0).stat().st_mtime_ns)


def test_a_missing_source_and_a_missing_directory_are_told_apart(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    place.targets.rmdir()
    record = copied(place, book)
    assert record is not None
    assert record.reason.startswith("the destination's directory cannot be opened")
    (place.sources / "0").unlink()
    record = copied(place, book)
    assert record is not None
    assert record.reason.startswith("the source cannot be opened: No such file")


def test_a_stopped_file_has_no_outcome_but_its_proof_is_on_disk(place: Place) -> None:
    book = place.started("tag", [place.item(0, os.urandom(5000))])
    assert copied(place, book, Stops(book, 3000)) is None
    again = place.reload().book(book.transfer.handle)
    assert again.transfer.progress[0].offset == 3000


def test_the_next_daemon_copies_only_what_is_not_proven(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    content = os.urandom(5000)
    book = place.started("tag", [place.item(0, content)])
    copied(place, book, Stops(book, 3000))
    caplog.set_level(logging.INFO)
    record = copied(place, place.reload().book(book.transfer.handle))
    assert record is not None
    assert record.state == "FULLSUCCESS"
    assert place.target(0).read_bytes() == content
    assert "of 3000 bytes 3000 are proven" in caplog.text


def test_a_proof_that_does_not_hold_is_taken_back_on_disk(place: Place) -> None:
    book = place.started("tag", [place.item(0, os.urandom(5000))])
    copied(place, book, Stops(book, 3000))
    with place.target(0).open("r+b") as temp:
        temp.write(b"damaged")
    again = place.reload().book(book.transfer.handle)
    assert copied(place, again, Stops(again, 0)) is None
    assert place.reload().book(book.transfer.handle).transfer.progress[0].offset == 0


def test_a_cancel_is_heard_while_what_is_there_is_compared(place: Place) -> None:
    book = place.started("tag", [place.item(0, os.urandom(5000))])
    copied(place, book, Stops(book, 3000))
    before = place.target(0).read_bytes()
    again = place.reload().book(book.transfer.handle)
    again.stopping = True
    assert copied(place, again) is None
    assert place.target(0).read_bytes() == before


def test_a_word_left_on_disk_is_heard_at_the_next_proof(place: Place) -> None:
    book = place.started("tag", [place.item(0, b"x" * 5000)])
    queues.ask_cancel(place.queue_fd, book.transfer.handle)
    assert copied(place, book, Stops(book, 10_000)) is None
    assert book.transfer.cancelled
    assert place.target(0).stat().st_size == 1000


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_source_that_cannot_be_read_fails_with_the_reason(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    (place.sources / "0").chmod(0)
    record = copied(place, book)
    assert record is not None
    assert record.reason == "the source cannot be opened: Permission denied"
