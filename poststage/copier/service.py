"""Requests → replies, over the queue and the workers. Knows no socket."""

import os
import time
from collections.abc import Iterator

from poststage import names
from poststage.copier import protocol as p
from poststage.copier import status
from poststage.copier.manners import Manners
from poststage.copier.queue import Book, Queue
from poststage.copier.records import EventRecord
from poststage.copier.transfer import target_of
from poststage.copier.workers import Workers
from poststage.durable import fsops
from poststage.errors import BackendError, UsageError
from poststage.model import TransferState

CANCEL_WAIT_S = 5.0  # a cancel that takes longer is answered as still in progress


class Service:
    """Answers requests; everything that it answers is durable first."""

    def __init__(
        self, queue: Queue, workers: Workers, manners: Manners, hello: p.HelloReply
    ) -> None:
        self._queue, self._workers, self._manners, self._hello = queue, workers, manners, hello

    def replies(self, request: p.AnyRequest) -> Iterator[p.AnyReply]:
        """The replies to `request`, in order. Raises PoststageError for what it refuses."""
        match request:
            case p.Hello(version=version):
                yield self._greet(version)
            case p.MakeHandle(tag=tag):
                yield p.HandleReply(self._queue.open(tag).transfer.handle)
            case p.Add():
                yield self._add(request)
            case p.Start(handle=handle, count=count):
                yield self._start(self._queue.book(handle), count)
            case p.Find(tags=tags):
                yield self._find(tags)
            case p.Forget(handles=handles):
                yield self._forget(handles)
            case p.Control(name=name, value=value):
                yield p.ControlReply(self._manners.control(name, value))
            case p.Stop():
                yield p.Done()
            case _:
                yield from self._about_transfers(request)
                yield p.Done()

    def _about_transfers(self, request: p.AnyRequest) -> Iterator[p.StatusReply]:
        match request:
            case p.Status(handles=handles):
                for handle in handles:
                    yield from self._status(handle)
            case p.ListAll():
                for handle in self._queue.handles():
                    yield from self._status(handle, files=False)
            case p.Cancel(handle=handle):
                yield from self._cancel(handle)
            case p.Resume(handle=handle):
                yield from self._resume(handle)

    def _greet(self, version: int) -> p.HelloReply:
        if version != p.VERSION:
            raise UsageError(f"protocol version {version} is not known (this is {p.VERSION})")
        return self._hello

    def _find(self, tags: list[str]) -> p.FoundReply:
        pairs = {tag: self._queue.handle_for(tag) for tag in tags}
        known = {tag: handle for tag, handle in pairs.items() if self._queue.knows(handle)}
        return p.FoundReply(known)

    def _forget(self, handles: list[str]) -> p.Done:
        try:
            self._queue.forget(handles)
        except OSError as error:
            raise BackendError(f"its queue cannot be written: {error.strerror}") from error
        return p.Done()

    def _add(self, request: p.Add) -> p.Done:
        book = self._queue.book(request.handle)
        with book.changed:
            transfer, new = book.transfer, request.items
            known = transfer.items[request.first : request.first + len(new)]
            if request.first > len(transfer.items) or new[: len(known)] != known:
                raise BackendError(f"transfer {request.handle}: other files were added before")
            if len(new) > len(known):
                _refuse_cancelled(book)
                _refuse_started(book)
                transfer.check_items(new[len(known) :])
                book.put(*new[len(known) :])
            book.sync()
            book.release()
        return p.Done()

    def _start(self, book: Book, count: int) -> p.Done:
        with book.changed:
            _refuse_cancelled(book)
            transfer = book.transfer
            if len(transfer.items) != count:
                raise BackendError(
                    f"transfer {transfer.handle}: {count} files announced, "
                    f"{len(transfer.items)} there; it was not started"
                )
            if not transfer.started:
                _refuse_missing_parents(book)
                generation = self._manners.generation()
                book.put(EventRecord("started", time.time_ns(), count, generation))
                book.sync()
                self._workers.enqueue(book)
        return p.Done()

    def _cancel(self, handle: str) -> Iterator[p.StatusReply]:
        tag = self._queue.tag_of(handle)
        if tag is not None:
            # A handle that was never made gets a tombstone here.
            book = self._queue.open(tag)
            with book.changed:
                self._workers.cancel(book, timeout_s=CANCEL_WAIT_S)
        yield from self._status(handle)

    def _resume(self, handle: str) -> Iterator[p.StatusReply]:
        book = self._queue.book(handle)
        with book.changed:
            if book.parked:
                self._workers.go_on(book)
        yield from self._status(handle)

    def _status(self, handle: str, *, files: bool = True) -> Iterator[p.StatusReply]:
        try:
            book = self._queue.book(handle)
        except BackendError as error:
            yield p.StatusReply(handle, TransferState.UNKNOWN.value, str(error))
            return
        with book.changed:
            replies = list(status.replies(book, files=files))
        yield from replies


def _refuse_cancelled(book: Book) -> None:
    if book.transfer.cancelled:
        raise BackendError(f"transfer {book.transfer.handle}: was cancelled; it never starts")


def _refuse_started(book: Book) -> None:
    if book.transfer.started:
        raise BackendError(f"transfer {book.transfer.handle}: has started; it takes no more files")


def _refuse_missing_parents(book: Book) -> None:
    """A vendor's manner: nothing starts unless every destination directory is there."""
    for directory in dict.fromkeys(target_of(item)[0] for item in book.transfer.items):
        try:
            os.close(fsops.open_dir(directory))
        except OSError as error:
            raise BackendError(
                f"transfer {book.transfer.handle}: directory {names.shown(directory)}: "
                f"{error.strerror}; it was not started",
                hint="make the destination's directory and start again",
            ) from error
