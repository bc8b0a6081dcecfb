"""Copying one file of a transfer: from its record to its outcome."""

import logging
import os
import time
from collections.abc import Sequence

from msgspec import Struct

from poststage.copier import engine
from poststage.copier.manners import Manners
from poststage.copier.queue import Book
from poststage.copier.records import (
    EventRecord,
    ItemRecord,
    OutcomeRecord,
    ProgressRecord,
    outcome,
)
from poststage.copier.settling import settle
from poststage.copier.transfer import source_of, target_of
from poststage.durable import fsops
from poststage.errors import BackendError
from poststage.model import TransferState

_log = logging.getLogger("poststage.copier")


class FileWatch:
    """An `engine.Watch` that knows the transfer: it ends on cancel and stop, and paces."""

    def __init__(self, book: Book, item: ItemRecord, position: int, manners: Manners) -> None:
        self.book, self.item, self.position, self.manners = book, item, position, manners

    def allow(self, offset: int, want: int) -> int:
        """As `engine.Watch.allow`."""
        self.go_on()
        count, wait_s = self.manners.piece(self.item, self.position, offset, want)
        if wait_s > 0:
            with self.book.changed:
                self.book.changed.wait_for(self.book.is_over, wait_s)
        self.go_on()
        self.book.live[self.item.index] = offset
        return count

    def resumed(self, offset: int) -> None:
        """As `engine.Watch.resumed`: told in the log; journaled if less than that was recorded."""
        recorded = self.book.transfer.progress[self.item.index].offset
        where = self.book.transfer.handle, self.item.index
        _log.info("transfer %s: file %d: of %d bytes %d are proven", *where, recorded, offset)
        if offset < recorded:
            self.proven(offset)

    def proven(self, offset: int) -> None:
        """As `engine.Watch.proven`: journaled, durably."""
        with self.book.changed:
            self.book.put(ProgressRecord(self.item.index, offset))
            if self.book.cancel_asked() and not self.book.transfer.cancelled:
                self.book.put(EventRecord("cancelled", time.time_ns()))
            self.book.sync()

    def final_size(self, size: int) -> int:
        """As `engine.Watch.final_size`."""
        del size
        self.go_on()
        return self.manners.final_size(self.item, self.position)

    def go_on(self) -> None:
        """As `engine.Watch.go_on`."""
        if self.book.is_over():
            raise engine.CopyStoppedError


class Pending(Struct, frozen=True):
    """A file of a transfer that is copied and not yet durable. `close` when it has its outcome."""

    book: Book
    item: ItemRecord
    written: engine.Written

    def close(self) -> None:
        """Let go of the temp file and its directory."""
        self.written.close()
        os.close(self.written.order.dir_fd)


def write_item(
    book: Book, item: ItemRecord, position: int, manners: Manners, prove_bytes: int
) -> Pending | OutcomeRecord | None:
    """Copy `item`, place `position` of its transfer; None if it was stopped before its end."""
    watch = FileWatch(book, item, position, manners)
    try:
        return Pending(book, item, _written(book, item, manners, prove_bytes, watch))
    except (engine.CopyStoppedError, BackendError):
        return None
    except engine.CopyError as error:
        return outcome(item, TransferState.FAILED, str(error))


def settled(batch: Sequence[Pending]) -> list[OutcomeRecord]:
    """The outcome of each of `batch`, which is durable then, or failed."""
    return [
        outcome(one.item, TransferState.FAILED, str(found))
        if isinstance(found, engine.CopyError)
        else outcome(one.item, TransferState.FULLSUCCESS, mtime_ns=found.mtime_ns)
        for one, found in zip(batch, settle([one.written for one in batch]), strict=True)
    ]


def _written(
    book: Book, item: ItemRecord, manners: Manners, prove_bytes: int, watch: FileWatch
) -> engine.Written:
    source_fd = _open_source(manners, item, book.transfer.generation)
    try:
        dir_fd = _open_directory(target_of(item)[0])
        try:
            return engine.write_file(_order(book, item, source_fd, dir_fd, prove_bytes), watch)
        except BaseException:
            os.close(dir_fd)
            raise
    finally:
        os.close(source_fd)


def _open_source(manners: Manners, item: ItemRecord, generation: int) -> int:
    try:
        return manners.open_source(source_of(item), generation)
    except OSError as error:
        raise engine.CopyError(f"the source cannot be opened: {error.strerror}") from error


def _open_directory(directory: bytes) -> int:
    try:
        return fsops.open_dir(directory)
    except OSError as error:
        reason = f"the destination's directory cannot be opened: {error.strerror}"
        raise engine.CopyError(reason) from error


def _order(
    book: Book, item: ItemRecord, source_fd: int, dir_fd: int, prove_bytes: int
) -> engine.Order:
    proven = book.transfer.progress.get(item.index)
    return engine.Order(
        source_fd=source_fd,
        dir_fd=dir_fd,
        temp=target_of(item)[1],
        size=item.size,
        mtime_ns=item.mtime_ns,
        resume_at=0 if proven is None else proven.offset,
        prove_bytes=prove_bytes,
    )
