"""Creating and appending to a state file, in the order that the protocol demands."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping

from poststage.durable import fsops, journal
from poststage.model import Ended, Entry, Head
from poststage.statefile import codec
from poststage.statefile.records import Event, EventRecord, Record, VerdictRecord, encode

_BUFFER = 1 << 18  # bytes gathered before a write


class StateWriter:
    """One open state file. Not durable until `sync`; close releases its lock."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray()
        self._entries = 0

    @classmethod
    def create(cls, dir_fd: int, name: bytes, head: Head) -> "StateWriter":
        """A new state file `name`; FileExistsError if there is one."""
        writer = cls(fsops.create(dir_fd, name, mode=0o600))
        writer._put(codec.head_record(head))
        return writer

    @classmethod
    def reopen(cls, fd: int, whole_bytes: int) -> "StateWriter":
        """Append to the file open for writing at `fd`, its torn tail cut off.

        The caller holds the file's lock and `fd` has O_APPEND.
        """
        journal.cut_torn_tail(fd, whole_bytes)
        return cls(fd)

    def add(self, entry: Entry) -> int:
        """Append one entry; its index."""
        self._put(codec.entry_record(entry))
        self._entries += 1
        return self._entries - 1

    def recorded(self) -> None:
        """Append that all entries are there."""
        self._event("recorded", entries=self._entries)

    def handle(self, handle: str) -> None:
        """Append the backend's name for the transfer."""
        self._event("handle", handle=codec.handle_text(handle))

    def started(self) -> None:
        """Append that the backend was told to start."""
        self._event("started")

    def cancelled(self) -> None:
        """Append that somebody cancelled the transfer."""
        self._event("cancelled")

    def verdicts(self, ended: Mapping[int, Ended]) -> None:
        """Append final verdicts; runs of equal ones share a record."""
        for record in verdict_records(ended):
            self._put(record)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._buffer:
            journal.append(self.fd, bytes(self._buffer))
            self._buffer.clear()

    def sync(self) -> None:
        """Make everything so far durable (the directory entry is the caller's)."""
        self.flush()
        fsops.sync(self.fd)

    def close(self) -> None:
        """Close the file; what was not flushed is not written."""
        os.close(self.fd)

    def _event(
        self, event: Event, *, entries: int | None = None, handle: str | None = None
    ) -> None:
        self._put(EventRecord(event, time.time_ns(), entries, handle))

    def _put(self, record: Record) -> None:
        self._buffer += journal.frame(encode(record))
        if len(self._buffer) >= _BUFFER:
            self.flush()


def verdict_records(ended: Mapping[int, Ended]) -> Iterator[VerdictRecord]:
    """`ended` as records; runs of equal ones share one."""
    now = time.time_ns()
    for index, count, end in _runs(sorted(ended.items())):
        yield VerdictRecord(index, end.verdict.value, now, count, codec.reason_text(end.reason))


def _runs(items: Iterable[tuple[int, Ended]]) -> Iterator[tuple[int, int, Ended]]:
    """(first index, count, verdict) for each run of neighbours with the same verdict."""
    first, count, current = -1, 0, None
    for index, ended in items:
        if current is not None and ended == current and index == first + count:
            count += 1
            continue
        if current is not None:
            yield first, count, current
        first, count, current = index, 1, ended
    if current is not None:
        yield first, count, current
