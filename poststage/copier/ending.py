"""How transfers end: by their files, by a cancel, by a stop. Callers hold `book.changed`."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby

from poststage.copier.queue import Book
from poststage.copier.records import EndRecord, EventRecord, ItemRecord, outcome
from poststage.copier.transfer import Transfer, target_of
from poststage.durable import fsops
from poststage.model import TransferState


def end_if_done(book: Book) -> None:
    """Journal the transfer's end, durably, if each of its files has ended."""
    transfer = book.transfer
    if transfer.end is not None or transfer.cancelled:
        return
    verdict = transfer.verdict()
    if verdict is not None:
        _end(book, verdict)


def end_cancelled(book: Book) -> None:
    """End a cancelled transfer of which nobody writes any more, and remove its temp files.

    What is to be removed is durable in the journal first, so that a crash on the way
    never leaves a removed file answered for as copied. A finished temp file that is
    gone was taken by a finalizer: it stays a success. What cannot be removed is left
    for the finalizer.
    """
    transfer = book.transfer
    if transfer.end is not None:
        return
    if transfer.started:
        cancelled = set(to_cancel(transfer))
        for item in transfer.items:
            if item.index in cancelled:
                book.put(outcome(item, TransferState.CANCELED, "the transfer was cancelled"))
        book.sync()
        taken = {key for key, ended in transfer.outcomes.items() if ended.state == "FULLSUCCESS"}
        for dir_fd, item, temp in _temps(transfer.items):
            if item.index not in taken and _is_ours(dir_fd, temp):
                with suppress(OSError):
                    fsops.unlink(dir_fd, temp)
    _end(book, TransferState.CANCELED)


def to_cancel(transfer: Transfer) -> list[int]:
    """The files that a cancel ends: what is open, and what is copied and still there."""
    return [
        item.index
        for dir_fd, item, temp in _temps(transfer.items)
        if _is_to_cancel(transfer, item, dir_fd, temp)
    ]


def journal_stop(book: Book) -> None:
    """Journal that nobody copies an unfinished transfer any more."""
    transfer = book.transfer
    if transfer.state is TransferState.INPROGRESS and not book.trouble:
        book.put(EventRecord("stopped", time.time_ns()))
        book.sync()


def _end(book: Book, state: TransferState) -> None:
    book.put(EndRecord(state.value, time.time_ns()))
    book.sync()
    book.release()


def _is_to_cancel(transfer: Transfer, item: ItemRecord, dir_fd: int, temp: bytes) -> bool:
    ended = transfer.outcomes.get(item.index)
    if ended is None:
        return True
    return ended.state == "FULLSUCCESS" and _is_ours(dir_fd, temp)


def _is_ours(dir_fd: int, temp: bytes) -> bool:
    """Whether `temp` is a file as this daemon makes them: plain, its own, with one name."""
    if dir_fd < 0:
        return False
    info = fsops.facts(dir_fd, temp)
    if info is None:
        return False
    return fsops.is_regular(info) and info.st_nlink == 1 and info.st_uid == os.geteuid()


def _temps(items: list[ItemRecord]) -> Iterator[tuple[int, ItemRecord, bytes]]:
    """(directory or -1 if it cannot be opened, item, temp name) for each item, in order."""
    for directory, group in groupby(items, key=lambda item: target_of(item)[0]):
        dir_fd = -1
        with suppress(OSError):
            dir_fd = fsops.open_dir(directory)
        try:
            for item in group:
                yield dir_fd, item, target_of(item)[1]
        finally:
            if dir_fd >= 0:
                os.close(dir_fd)
