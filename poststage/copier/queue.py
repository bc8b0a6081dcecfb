"""The queue on disk: one journal a transfer. Whoever holds the daemon's lock writes it."""

import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from poststage.copier.records import TAG_PATTERN, VERSION, Record, TransferRecord, encode
from poststage.copier.transfer import Transfer, replay
from poststage.durable import atomic, fsops, journal
from poststage.errors import BackendError
from poststage.model import TransferState

SUFFIX = ".journal"
CANCEL_SUFFIX = ".cancel"
_LOOK_S = 0.1
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Book:
    """One transfer with its journal. Its users hold `changed` (a lock) for every call."""

    def __init__(self, dir_fd: int, transfer: Transfer, whole_bytes: int) -> None:
        self.transfer = transfer
        self.changed = threading.Condition()
        self.running = 0
        """Threads that may be writing one of its temp files."""
        self.live: dict[int, int] = {}
        """File index → bytes copied so far, not yet proven; for status only."""
        self.parked = ""
        """Why it was left STOPPED although the daemon runs; "" if it was not."""
        self.trouble = ""
        """Why its journal takes no more records until the daemon is started again."""
        self.stopping = False
        """Whether the daemon stops: copies end at the next piece."""
        self._dir_fd, self._whole, self._fd = dir_fd, whole_bytes, -1
        self._dirty = False
        self._look_at = 0.0

    def is_over(self) -> bool:
        """Whether nothing of it is to be written any more."""
        return self.stopping or self.transfer.cancelled or bool(self.trouble)

    def is_time_to_look(self) -> bool:
        """Whether nobody has looked at the disk for such a wish in the last tenth of a second."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        return True

    def cancel_asked(self) -> bool:
        """Whether somebody who cannot reach the daemon has asked for a cancel, on disk."""
        return is_cancel_asked(self._dir_fd, self.transfer.handle)

    def put(self, *records: Record) -> None:
        """Append `records`, which the transfer accepts, and take them; durable after `sync`.

        Raises:
            BackendError: the journal cannot be written; the transfer is as it was on disk.
        """
        if self.trouble:
            raise BackendError(f"transfer {self.transfer.handle}: {self.trouble}")
        data = b"".join(journal.frame(encode(record)) for record in records)
        try:
            self._open()
            journal.append(self._fd, data)
        except OSError as error:
            self._fail(error)
        self._whole += len(data)
        self._dirty = True
        for record in records:
            self.transfer.take(record)

    def sync(self) -> None:
        """Make what was put durable. A failed fsync is never repeated: BackendError from then."""
        if self.trouble:
            raise BackendError(f"transfer {self.transfer.handle}: {self.trouble}")
        if not self._dirty:
            return
        try:
            fsops.sync(self._fd)
        except OSError as error:
            self._fail(error)
        self._dirty = False

    def release(self) -> None:
        """Close the journal until the next `put`."""
        if self._fd >= 0 and not self._dirty:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd < 0:
            name = (self.transfer.handle + SUFFIX).encode("ascii")
            self._fd = os.open(name, _FLAGS, dir_fd=self._dir_fd)
            journal.cut_torn_tail(self._fd, self._whole)

    def _fail(self, error: OSError) -> None:
        self.trouble = f"its queue journal cannot be written: {error.strerror}"
        if self._fd >= 0:
            with suppress(OSError):  # the next start cuts it if this one cannot
                journal.cut_torn_tail(self._fd, self._whole)
        raise BackendError(
            f"transfer {self.transfer.handle}: {self.trouble}; no file was removed",
            hint="make room below the daemon's root, then stop and start it",
        ) from error


class Queue:
    """All books below one root, by handle. `lock` guards the set of them."""

    def __init__(self, dir_fd: int, root_id: str) -> None:
        self.root_id = root_id
        self.lock = threading.Lock()
        self.books: dict[str, Book] = {}
        self.damaged: dict[str, str] = {}
        self._dir_fd = dir_fd

    def load(self) -> None:
        """Read every journal; a damaged one is kept as it is and answered for as unknown."""
        for handle in journals(self._dir_fd):
            try:
                transfer, whole = read(self._dir_fd, handle)
            except (OSError, ValueError) as error:
                self.damaged[handle] = f"its queue journal cannot be read: {error}"
                continue
            if transfer.handle:
                self.books[handle] = Book(self._dir_fd, transfer, whole)

    def handle_for(self, tag: str) -> str:
        """The handle of `tag`, whether or not there is a transfer."""
        return f"{self.root_id}-{tag}"

    def book(self, handle: str) -> Book:
        """The book of `handle`; BackendError if there is none, or it is damaged."""
        with self.lock:
            found, damage = self.books.get(handle), self.damaged.get(handle)
        if damage:
            raise BackendError(f"transfer {handle}: {damage}; none of its files was touched")
        if found is None:
            raise BackendError(f"transfer {handle}: is not known here; nothing was touched")
        return found

    def open(self, tag: str) -> Book:
        """The book of `tag`, made durably if there is none."""
        handle = self.handle_for(tag)
        with self.lock:
            if handle not in self.books and handle not in self.damaged:
                self.books[handle] = self._create(handle, tag)
        return self.book(handle)

    def knows(self, handle: str) -> bool:
        """Whether `handle` was made here, be its journal damaged or not."""
        return handle in self.books or handle in self.damaged

    def handles(self) -> list[str]:
        """All handles that were made here."""
        with self.lock:
            return sorted({*self.books, *self.damaged})

    def is_idle(self) -> bool:
        """Whether no transfer is being copied."""
        with self.lock:
            books = list(self.books.values())
        return not any(book.transfer.state is TransferState.INPROGRESS for book in books)

    def tag_of(self, handle: str) -> str | None:
        """The tag of a handle that this queue has made or may still make; None for another's."""
        tag = handle.removeprefix(self.root_id + "-")
        return tag if tag != handle and re.fullmatch(TAG_PATTERN, tag) else None

    def forget(self, handles: Sequence[str]) -> None:
        """Let go of those of `handles` that have ended, on disk too; OSError passes."""
        with self.lock:
            for handle in forget(self._dir_fd, handles):
                self.books.pop(handle, None)

    def _create(self, handle: str, tag: str) -> Book:
        head = TransferRecord(VERSION, tag, handle, time.time_ns())
        line = journal.frame(encode(head))
        name = (handle + SUFFIX).encode("ascii")
        atomic.replace_file(self._dir_fd, name, line, mode=0o600)
        transfer = Transfer()
        transfer.take(head)
        return Book(self._dir_fd, transfer, len(line))


def journals(dir_fd: int) -> list[str]:
    """The handles that have a journal in the queue directory."""
    found = (name for name in os.listdir(dir_fd) if name.endswith(SUFFIX))
    return sorted(name.removesuffix(SUFFIX) for name in found if not name.startswith("."))


def read(dir_fd: int, handle: str) -> tuple[Transfer, int]:
    """`replay` of the journal of `handle`."""
    name = (handle + SUFFIX).encode("ascii")
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        return replay(fd)
    finally:
        os.close(fd)


def forget(dir_fd: int, handles: Sequence[str]) -> list[str]:
    """Remove the journals of those of `handles` that have ended; which they are. Durable.

    What has not ended or cannot be read stays. OSError passes.
    """
    ended = [handle for handle in handles if _has_ended(dir_fd, handle)]
    for handle in ended:
        for suffix in (CANCEL_SUFFIX, SUFFIX):
            with suppress(FileNotFoundError):
                fsops.unlink(dir_fd, (handle + suffix).encode("ascii"))
    if ended:
        fsops.sync(dir_fd)
    return ended


def _has_ended(dir_fd: int, handle: str) -> bool:
    try:
        transfer, _ = read(dir_fd, handle)
    except (OSError, ValueError):
        return False
    return transfer.end is not None


def is_cancel_asked(dir_fd: int, handle: str) -> bool:
    """Whether `ask_cancel` was called for `handle`."""
    return fsops.facts(dir_fd, (handle + CANCEL_SUFFIX).encode("ascii")) is not None


def ask_cancel(dir_fd: int, handle: str) -> None:
    """Leave word for whoever copies `handle`, now or later: it is cancelled; durable.

    A daemon looks for it after it has journaled that it starts, so one who leaves word
    first and then reads the journal sees the start, or is seen.
    """
    name = (handle + CANCEL_SUFFIX).encode("ascii")
    with suppress(FileExistsError):
        os.close(fsops.create(dir_fd, name, mode=0o600))
    fsops.sync(dir_fd)
