"""The threads that copy: cancel, stop and restart at a file's every stage."""

import errno
import os
import resource
import threading
from collections.abc import Callable

import pytest

from poststage.copier import queue as queues
from poststage.copier.manners import Manners, Plain
from poststage.copier.queue import Book
from poststage.copier.records import ItemRecord
from poststage.copier.workers import Workers
from poststage.durable import fsops
from poststage.model import TransferState
from tests.copier.scene import Gate, Place, until


def workers(manners: Manners, *, threads: int = 2, prove_bytes: int = 1000) -> Workers:
    """Threads that copy."""
    made = Workers(manners, threads=threads, prove_bytes=prove_bytes)
    made.begin()
    return made


def enqueue(book: Book, *, by: Workers) -> None:
    with book.changed:
        by.enqueue(book)


def ends(book: Book) -> TransferState | None:
    """How the transfer ended, once it has."""
    until(book, lambda: book.transfer.end is not None and not book.running)
    return book.transfer.end


def test_all_files_are_copied_and_the_end_is_journaled(place: Place) -> None:
    book = place.started("tag", [place.item(n, b"%d" % n * 3000) for n in range(20)])
    enqueue(book, by=workers(Plain()))
    assert ends(book) is TransferState.FULLSUCCESS
    assert place.target(7).read_bytes() == b"7" * 3000
    assert place.reload().book(book.transfer.handle).transfer.end is TransferState.FULLSUCCESS


def test_one_bad_file_does_not_stop_the_others(place: Place) -> None:
    items = [place.item(n) for n in range(3)]
    (place.sources / "1").unlink()
    book = place.started("tag", items)
    enqueue(book, by=workers(Plain()))
    assert ends(book) is TransferState.PARTIALSUCCESS
    assert book.transfer.outcomes[1].state == "FAILED"
    assert "No such file" in book.transfer.outcomes[1].reason


def test_an_error_of_our_own_fails_the_file_and_the_thread_lives(place: Place) -> None:
    class Broken(Plain):
        def final_size(self, item: ItemRecord, position: int) -> int:
            if item.index < 4:
                raise ZeroDivisionError
            return super().final_size(item, position)

    book = place.started("tag", [place.item(n) for n in range(6)])
    enqueue(book, by=workers(Broken()))
    assert ends(book) is TransferState.PARTIALSUCCESS
    assert "internal error" in book.transfer.outcomes[0].reason
    assert book.transfer.outcomes[5].state == "FULLSUCCESS"


def test_an_error_at_close_does_not_end_the_thread_that_syncs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, temps = os.close, place.target(0).parent

    def told_late(fd: int) -> None:
        name = os.readlink(f"/proc/self/fd/{fd}")
        close(fd)
        if os.path.dirname(name) == str(temps):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", told_late)
    by = workers(Plain())
    for number in range(2):
        book = place.started(f"tag{number}", [place.item(number)])
        enqueue(book, by=by)
        assert ends(book) is TransferState.FULLSUCCESS


def test_with_few_descriptors_fewer_files_wait_to_be_synced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, sync = threading.Event(), fsops.sync_filesystem

    def slow(fd: int) -> None:
        waits.wait(0.05)  # meanwhile others are written
        sync(fd)

    monkeypatch.setattr(fsops, "sync_filesystem", slow)
    book = place.started("tag", [place.item(number) for number in range(300)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
    try:
        enqueue(book, by=workers(Plain(), threads=4))
        assert ends(book) is TransferState.FULLSUCCESS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def at_the_gate(place: Place, *, threads: int = 2) -> tuple[Book, Gate, Workers]:
    """A transfer whose first file is open and waits at a gate."""
    gate = Gate()
    by = workers(gate, threads=threads, prove_bytes=0)
    book = place.started("tag", [place.item(n, b"x" * 5000) for n in range(4)])
    enqueue(book, by=by)
    assert gate.reached.wait(30)
    return book, gate, by


def test_a_cancel_on_the_way_is_ended_by_the_last_thread(place: Place) -> None:
    book, gate, by = at_the_gate(place)
    with book.changed:
        by.cancel(book, timeout_s=0)
    assert book.transfer.end is None
    gate.opened.set()
    assert ends(book) is TransferState.CANCELED
    assert os.listdir(place.targets) == []


def test_a_stop_leaves_what_is_unfinished_for_the_next_daemon(place: Place) -> None:
    book, gate, by = at_the_gate(place)
    book.stopping = True
    gate.opened.set()
    by.stop([book], timeout_s=30)
    again = place.reload().book(book.transfer.handle)
    assert again.transfer.state is TransferState.STOPPED
    next_daemon = workers(Plain())
    with again.changed:
        next_daemon.go_on(again)
    assert ends(again) is TransferState.FULLSUCCESS
    assert place.target(3).read_bytes() == b"x" * 5000


def test_a_stop_does_not_wait_for_a_thread_that_hangs(place: Place) -> None:
    book, gate, by = at_the_gate(place)
    by.stop([book], timeout_s=0)
    assert place.reload().book(book.transfer.handle).transfer.state is TransferState.INPROGRESS
    gate.opened.set()


def test_a_cancel_that_was_killed_is_completed_by_the_next_daemon(place: Place) -> None:
    book, gate, by = at_the_gate(place)
    with book.changed:
        by.cancel(book, timeout_s=0)
    again = place.reload().book(book.transfer.handle)
    with again.changed:
        workers(Plain()).go_on(again)
    assert again.transfer.end is TransferState.CANCELED
    gate.opened.set()


def change(place: Place) -> None:
    (place.sources / "0").write_bytes(b"something else")


@pytest.mark.parametrize("harm", [change, lambda place: (place.sources / "0").unlink()])
def test_who_waits_for_sources_parks_a_transfer_whose_source_is_not_as_recorded(
    place: Place, harm: Callable[[Place], None]
) -> None:
    book = place.started("tag", [place.item(0)])
    harm(place)
    by = workers(Plain())
    with book.changed:
        by.go_on(book)
    assert book.transfer.state is TransferState.STOPPED
    assert "source" in book.parked
    assert os.listdir(place.targets) == []


def test_who_does_not_wait_for_sources_fails_it(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    change(place)
    gate = Gate(waits_for_sources=False)
    gate.opened.set()
    with book.changed:
        workers(gate).go_on(book)
    assert ends(book) is TransferState.FAILED


def test_a_parked_transfer_goes_on_when_its_source_is_back(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    source = place.sources / "0"
    source.rename(place.sources / "away")
    by = workers(Plain())
    with book.changed:
        by.go_on(book)
        assert book.parked
    (place.sources / "away").rename(source)
    with book.changed:
        by.go_on(book)
    assert ends(book) is TransferState.FULLSUCCESS


@pytest.mark.parametrize("files", [0, 1, 3])
def test_a_word_left_on_disk_keeps_a_transfer_from_being_copied(place: Place, files: int) -> None:
    book = place.started("tag", [place.item(n) for n in range(files)])
    queues.ask_cancel(place.queue_fd, book.transfer.handle)
    enqueue(book, by=workers(Plain()))
    assert ends(book) is TransferState.CANCELED
    assert os.listdir(place.targets) == []


def test_a_word_left_on_disk_ends_a_transfer_on_its_way(place: Place) -> None:
    book, gate, _ = at_the_gate(place, threads=1)
    queues.ask_cancel(place.queue_fd, book.transfer.handle)
    gate.opened.set()
    assert ends(book) is TransferState.CANCELED
    assert os.listdir(place.targets) == []
