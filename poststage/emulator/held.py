"""The burst buffer that the daemon holds: sources below its path, also when the path is gone.

`detach` moves the directory into the daemon's root, as the end of a job takes a burst
buffer away from everybody but its owner. Buffers are counted: one that is detached keeps
its number, and transfers remember the number that was current when they started.
"""

import errno
import os
import threading
from pathlib import Path

import msgspec

from poststage import names
from poststage.copier import engine
from poststage.durable import atomic, fsops
from poststage.errors import BackendError, UsageError

_PATH_FILE = b"burst-buffer.json"
_HELD = b"held"


class HeldBuffer:
    """The burst buffer at `path` (None: as at the last start, or none at all)."""

    def __init__(self, root_fd: int, path: Path | None) -> None:
        self._root_fd = root_fd
        self._path = _remembered(root_fd) if path is None else _remember(root_fd, path)
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}
        """Generation → descriptor of its directory."""
        self.generation()

    @property
    def path(self) -> bytes | None:
        """Where the burst buffer is for everybody."""
        return self._path

    def generation(self) -> int:
        """The number of the current burst buffer; opens it, so that it stays in reach."""
        current = self._detached()
        if self._path is not None:
            with self._lock:
                self._reopen(current)
        return current

    def open_source(self, path: bytes, generation: int) -> int:
        """A descriptor of the source `path`, below the burst buffer of that number or not.

        Raises:
            OSError: as open(2).
        """
        if self._path is None or not path.startswith(self._path + b"/"):
            return engine.open_source(path)
        with self._lock:
            if generation not in self._open:
                self._reopen(generation)
            if generation not in self._open:
                raise FileNotFoundError(errno.ENOENT, "the burst buffer is gone")
            below = path[len(self._path) + 1 :]
            return engine.open_source(below, dir_fd=self._open[generation])

    def detach(self) -> bytes:
        """Take the burst buffer away from everybody else; where it was. BackendError if none."""
        if self._path is None:
            raise UsageError("detach: this emulator holds no burst buffer; nothing was changed")
        with self._lock:
            number = self._detached()
            self._reopen(number)
            try:
                self._take_away(number)
            except OSError as error:
                raise BackendError(
                    f"burst buffer {names.shown(self._path)}: cannot be moved into the root: "
                    f"{error.strerror}; it is where it was",
                    hint="the root has to be on the same file system",
                ) from error
        return self._path

    def _take_away(self, number: int) -> None:
        assert self._path is not None
        directory, name = names.split(self._path)
        parent_fd = fsops.open_dir(directory)
        try:
            held_fd = self._held_fd()
            try:
                fsops.move_into(parent_fd, name, held_fd, b"%d" % number)
                fsops.sync(held_fd)
                fsops.sync(parent_fd)
            finally:
                os.close(held_fd)
        finally:
            os.close(parent_fd)

    def _held_fd(self) -> int:
        fsops.make_dir(self._root_fd, _HELD, 0o700)
        return fsops.open_subdir(self._root_fd, _HELD)

    def _detached(self) -> int:
        held_fd = self._held_fd()
        try:
            return max((int(name) for name in os.listdir(held_fd)), default=-1) + 1
        finally:
            os.close(held_fd)

    def _reopen(self, number: int) -> None:
        """Open the burst buffer `number` where it is now: held, or at its path."""
        found = self._open_held(number)
        if found is None and number == self._detached() and self._path is not None:
            found = _open_or_none(self._path)
        if found is None:
            return
        before = self._open.pop(number, None)
        self._open[number] = found
        if before is not None:
            os.close(before)

    def _open_held(self, number: int) -> int | None:
        held_fd = self._held_fd()
        try:
            return fsops.open_subdir(held_fd, b"%d" % number)
        except FileNotFoundError:
            return None
        finally:
            os.close(held_fd)


def _open_or_none(path: bytes) -> int | None:
    try:
        return fsops.open_dir(path)
    except OSError:
        return None


def _remember(root_fd: int, path: Path) -> bytes:
    raw = os.fsencode(path)
    if not names.is_absolute(raw):
        raise UsageError(f"burst buffer {names.shown(raw)}: is not a plain absolute path")
    text = msgspec.json.encode(names.to_text(raw))
    atomic.replace_file(root_fd, _PATH_FILE, text + b"\n")
    return raw


def _remembered(root_fd: int) -> bytes | None:
    try:
        fd = os.open(_PATH_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)
    except FileNotFoundError:
        return None
    try:
        return names.from_text(msgspec.json.decode(os.read(fd, 1 << 16), type=str))
    finally:
        os.close(fd)
