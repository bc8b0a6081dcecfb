"""The queue on disk: what was answered is there for the next daemon, and nothing else is."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from poststage.copier import queue as queues
from poststage.copier.records import EndRecord, EventRecord
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.copier.scene import ROOT_ID, Place


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `size_bytes` (EFBIG, as a full disk is ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_tag_has_one_handle_also_in_the_next_daemon(place: Place) -> None:
    handle = place.queue.open("tag").transfer.handle
    assert place.queue.open("tag").transfer.handle == handle
    assert place.reload().open("tag").transfer.handle == handle == f"{ROOT_ID}-tag"
    assert place.queue.handles() == [handle]


def test_what_was_put_and_synced_is_there_for_the_next_daemon(place: Place) -> None:
    items = [place.item(0), place.item(7)]
    handle = place.started("tag", items).transfer.handle
    again = place.reload().book(handle).transfer
    assert (again.items, again.started, again.tag) == (items, True, "tag")


def test_an_unknown_handle_is_refused_by_name(place: Place) -> None:
    with pytest.raises(BackendError, match="nosuch: is not known here"):
        place.queue.book("nosuch")


def test_a_damaged_journal_is_kept_and_hides_no_other(place: Place) -> None:
    bad, good = place.started("bad", [place.item(0)]), place.started("good", [place.item(1)])
    path = place.queue_dir / f"{bad.transfer.handle}.journal"
    damaged = path.read_bytes().replace(b'"index":0', b'"index":1', 1)
    path.write_bytes(damaged)
    queue = place.reload()
    assert queue.book(good.transfer.handle).transfer.started
    with pytest.raises(BackendError, match="line 2"):
        queue.book(bad.transfer.handle)
    with pytest.raises(BackendError, match="line 2"):
        queue.open("bad")
    assert path.read_bytes() == damaged


def test_a_torn_tail_is_cut_before_the_next_record(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    path = place.queue_dir / f"{book.transfer.handle}.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b"00000000 {half")
    again = place.reload().book(book.transfer.handle)
    with again.changed:
        again.put(EventRecord("cancelled", 2))
        again.sync()
    assert path.read_bytes().startswith(whole)
    assert b"half" not in path.read_bytes()
    assert place.reload().book(book.transfer.handle).transfer.cancelled


def test_a_journal_that_cannot_grow_is_trouble_until_the_next_start(place: Place) -> None:
    book = place.started("tag", [place.item(0)])
    path = place.queue_dir / f"{book.transfer.handle}.journal"
    before = path.read_bytes()
    with book.changed:
        with full_disk(len(before) + 10), pytest.raises(BackendError, match="cannot be written"):
            book.put(EventRecord("cancelled", 2))
        with pytest.raises(BackendError, match="cannot be written"):
            book.put(EventRecord("cancelled", 2))
        with pytest.raises(BackendError, match="cannot be written"):
            book.sync()
    assert path.read_bytes() == before
    assert book.is_over()
    assert not place.reload().book(book.transfer.handle).transfer.cancelled


def test_many_transfers_need_few_descriptors(place: Place) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        place.queue.open(f"tag{number}")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_word_left_on_disk_is_seen_by_every_daemon(place: Place) -> None:
    book = place.queue.open("tag")
    assert not book.cancel_asked()
    queues.ask_cancel(place.queue_fd, book.transfer.handle)
    queues.ask_cancel(place.queue_fd, book.transfer.handle)
    assert book.cancel_asked()
    assert place.reload().book(book.transfer.handle).cancel_asked()
    assert place.queue.handles() == [book.transfer.handle]


@pytest.mark.parametrize("handle", ["other-tag", f"{ROOT_ID}-", f"{ROOT_ID}-.x", f"{ROOT_ID}tag"])
def test_a_handle_of_another_root_has_no_tag_here(place: Place, handle: str) -> None:
    assert place.queue.tag_of(handle) is None


def test_a_queue_is_idle_while_nothing_is_being_copied(place: Place) -> None:
    place.queue.open("waits")
    assert place.queue.is_idle()
    book = place.started("tag", [place.item(0)])
    assert book.transfer.state is TransferState.INPROGRESS
    assert not place.queue.is_idle()


def test_what_has_ended_is_forgotten_on_disk_and_in_memory(place: Place) -> None:
    ended, open_one = place.started("ended", []), place.started("open", [place.item(0)])
    with ended.changed:
        ended.put(EndRecord("FULLSUCCESS", 1))
        ended.sync()
    queues.ask_cancel(place.queue_fd, ended.transfer.handle)
    handles = [ended.transfer.handle, open_one.transfer.handle, "nosuch"]
    place.queue.forget(handles)
    place.queue.forget(handles)
    assert place.queue.handles() == place.reload().handles() == [open_one.transfer.handle]
    assert os.listdir(place.queue_dir) == [f"{open_one.transfer.handle}.journal"]


def test_a_damaged_journal_is_not_forgotten(place: Place) -> None:
    handle = place.started("bad", [place.item(0)]).transfer.handle
    path = place.queue_dir / f"{handle}.journal"
    path.write_bytes(path.read_bytes()[:-3] + b"!!\n")
    place.reload().forget([handle])
    assert path.exists()
