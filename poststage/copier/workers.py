"""The threads that copy, the one that syncs, and the verbs on a transfer that concern them."""

import logging
import queue
import resource
import threading
import time
from contextlib import suppress
from functools import partial

from poststage.copier import ending
from poststage.copier.copying import Pending, settled, write_item
from poststage.copier.manners import Manners, sources_wrong
from poststage.copier.queue import Book
from poststage.copier.records import EventRecord, ItemRecord, OutcomeRecord, outcome
from poststage.errors import BackendError
from poststage.model import TransferState

_log = logging.getLogger("poststage.copier")
_Task = tuple[Book, ItemRecord, int]
_BATCH = 128  # files that are written and wait, and as many that are synced
_BATCH_SHARE = 8  # of all descriptors: each file has two


class Workers:
    """Copies the files of started transfers; every end of a file or transfer is journaled.

    Callers of all methods but `begin` and `stop` hold the book's `changed`.
    """

    def __init__(self, manners: Manners, *, threads: int, prove_bytes: int) -> None:
        self._manners, self._prove_bytes = manners, prove_bytes
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = _BATCH if soft == resource.RLIM_INFINITY else min(_BATCH, soft // _BATCH_SHARE)
        self._batch = max(1, few)
        self._written: queue.Queue[Pending] = queue.Queue(self._batch)
        self._threads = [
            threading.Thread(target=self._work, name=f"copy-{number}", daemon=True)
            for number in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._settle, name="settle", daemon=True))

    def begin(self) -> None:
        """Let the threads run; they end with the process."""
        for thread in self._threads:
            thread.start()

    def enqueue(self, book: Book) -> None:
        """Copy what has not ended of a started transfer."""
        transfer = book.transfer
        if book.cancel_asked():
            self.cancel(book, timeout_s=0)
            return
        for place, item in enumerate(transfer.items, start=1):
            if item.index not in transfer.outcomes:
                self._tasks.put((book, item, place))
        ending.end_if_done(book)

    def go_on(self, book: Book) -> None:
        """Continue a transfer that a dead or stopped daemon left open.

        Where sources are waited for and one is not as recorded, it is parked: STOPPED, with
        the reason.
        """
        transfer = book.transfer
        if transfer.cancelled:
            ending.end_cancelled(book)
            return
        if self._manners.waits_for_sources:
            book.parked = sources_wrong(self._manners, transfer.open_items(), transfer.generation)
        if book.parked:
            ending.journal_stop(book)
            return
        book.put(EventRecord("started", time.time_ns()))
        book.sync()
        self.enqueue(book)

    def cancel(self, book: Book, *, timeout_s: float) -> None:
        """End the transfer as cancelled; for good even if it was never started.

        Waits until nobody writes; where that takes longer than `timeout_s`, the thread
        that is last ends it.
        """
        if book.transfer.end is not None:
            return
        if not book.transfer.cancelled:
            book.put(EventRecord("cancelled", time.time_ns()))
            book.sync()
        book.changed.notify_all()
        if book.changed.wait_for(lambda: not book.running, timeout_s):
            ending.end_cancelled(book)

    def stop(self, books: list[Book], *, timeout_s: float) -> None:
        """Stop copying at once; what has not ended is journaled as stopped.

        A thread that hangs in the kernel for longer than `timeout_s` is left to the
        process's exit; its transfer has no such record then.
        """
        for book in books:
            book.stopping = True
        deadline = time.monotonic() + timeout_s
        for book in books:
            with book.changed:
                book.changed.notify_all()
                left = max(deadline - time.monotonic(), 0.0)
                if book.changed.wait_for(partial(_is_idle, book), left):
                    _journal_stop(book)

    def _work(self) -> None:
        while True:
            book, item, position = self._tasks.get()
            with book.changed:
                if self._is_over(book):
                    continue
                book.running += 1
            found = self._write(book, item, position)
            if isinstance(found, Pending):
                self._written.put(found)
            else:
                self._leave(book, [(item, found)])

    def _settle(self) -> None:
        """Make durable what is written, all that waits at once: the longer it takes, the more."""
        while True:
            batch = [self._written.get()]
            with suppress(queue.Empty):
                while len(batch) < self._batch:
                    batch.append(self._written.get_nowait())
            found: dict[Book, list[tuple[ItemRecord, OutcomeRecord | None]]] = {}
            for one, record in zip(batch, self._settled(batch), strict=True):
                found.setdefault(one.book, []).append((one.item, record))
                one.close()
            for book, records in found.items():
                self._leave(book, records)

    def _is_over(self, book: Book) -> bool:
        if not book.is_over() and book.is_time_to_look() and book.cancel_asked():
            with suppress(BackendError):  # `trouble` keeps it
                self.cancel(book, timeout_s=0)
        return book.is_over()

    def _write(self, book: Book, item: ItemRecord, position: int) -> Pending | OutcomeRecord | None:
        try:
            return write_item(book, item, position, self._manners, self._prove_bytes)
        except Exception as error:  # noqa: BLE001 - the thread's edge: logged and answered for
            return _bug(book, item, error)

    def _settled(self, batch: list[Pending]) -> list[OutcomeRecord]:
        try:
            return settled(batch)
        except Exception as error:  # noqa: BLE001 - the thread's edge: logged and answered for
            return [_bug(one.book, one.item, error) for one in batch]

    def _leave(self, book: Book, ended: list[tuple[ItemRecord, OutcomeRecord | None]]) -> None:
        with book.changed:
            book.running -= len(ended)
            for item, _ in ended:
                book.live.pop(item.index, None)
            try:
                records = [record for _, record in ended if record is not None]
                if records:
                    book.put(*records)
                if book.transfer.cancelled and not book.running:
                    ending.end_cancelled(book)
                elif book.transfer.verdict() is not None and book.cancel_asked():
                    self.cancel(book, timeout_s=0)
                ending.end_if_done(book)
            except BackendError as error:
                _log.error("%s", error)
            book.changed.notify_all()


def _bug(book: Book, item: ItemRecord, error: Exception) -> OutcomeRecord:
    _log.error("transfer %s: file %d", book.transfer.handle, item.index, exc_info=error)
    return outcome(item, TransferState.FAILED, f"internal error: {error!r}")


def _is_idle(book: Book) -> bool:
    return not book.running


def _journal_stop(book: Book) -> None:
    try:
        ending.journal_stop(book)
    except BackendError as error:
        _log.error("%s", error)
