"""STATEDIR/.datawarp: what was staged together, a file a transfer, each replaced whole."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from poststage.durable import atomic, fsops, lock
from poststage.errors import BackendError

FOLDER = ".datawarp"
_LOCK = ".lock"
_TAG = re.compile(r"[0-9a-f]{16}")
_MOST_BYTES = 256 << 20


class Staged(Struct, frozen=True):
    """One file; names in written form."""

    index: int
    source: str
    target: str


class Record(Struct, frozen=True):
    """One transfer. Started: the library was told, or may have been, of some of the files."""

    started: bool = False
    cancelled: bool = False
    files: list[Staged] = []


class Kept:
    """The records of one STATEDIR. May raise BackendError, or RunAgainError for a held lock."""

    def __init__(self, state_dir: Path, timeout_s: float) -> None:
        self._top, self._timeout_s = state_dir / FOLDER, timeout_s

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Whoever changes a record does it alone; the directory is made if it is missing."""
        with suppress(FileExistsError):
            fsops.make_dir(None, os.fsencode(self._top), 0o700)
        with lock.held(self._top / _LOCK, timeout_s=self._timeout_s, what=str(self._top)):
            yield

    def read(self, tag: str) -> Record | None:
        """The record of `tag`; None if there is none."""
        if not _TAG.fullmatch(tag):
            return None
        try:
            with self._opened() as fd:
                file = fsops.open_file(fd, tag.encode())
                with os.fdopen(file, "rb") as stream:
                    return msgspec.json.decode(stream.read(_MOST_BYTES), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BackendError(f"{self._top / tag}: cannot be read: {error}") from error

    def write(self, tag: str, record: Record) -> None:
        """Replace the record of `tag`, durably."""
        if not _TAG.fullmatch(tag):
            raise BackendError(f"transfer {tag!r}: is no transfer's id; nothing was recorded")
        try:
            with self._opened() as fd:
                atomic.replace_file(fd, tag.encode(), msgspec.json.encode(record), mode=0o600)
        except OSError as error:
            raise BackendError(f"{self._top / tag}: cannot be written: {error.strerror}") from error

    def drop(self, tag: str) -> None:
        """Forget the record of `tag`; none is no error."""
        try:
            with self._opened() as fd:
                fsops.unlink(fd, tag.encode())
        except OSError as error:
            if error.errno != errno.ENOENT:
                text = f"{self._top / tag}: cannot be removed: {error.strerror}"
                raise BackendError(text) from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        fd = fsops.open_dir(os.fsencode(self._top))
        try:
            yield fd
        finally:
            os.close(fd)
