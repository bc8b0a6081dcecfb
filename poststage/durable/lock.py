"""Locks: one holder at a time, with our errors and always a deadline."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from poststage.errors import RunAgainError


@contextmanager
def held(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold the lock file `path` (made if missing, never deleted) while the block runs.

    Where there is no room for it, its directory is locked instead: a full file system must
    not keep anybody from ending what needs no room. Only those who find it full exclude
    each other then.

    Raises:
        RunAgainError: somebody else held it for `timeout_s` seconds; `what` names the object.
        OSError: the lock file cannot be made or locked.
    """
    lock = FileLock(path, timeout=max(timeout_s, 0.0))
    try:
        lock.acquire()
    except Timeout as busy:
        raise _busy(path, what) from busy
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        with _directory_held(path.parent, timeout_s=timeout_s, what=what):
            yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _directory_held(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """flock(2) on the directory itself, which takes no room."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + timeout_s
        while not try_lock(fd):
            if time.monotonic() >= end:
                raise _busy(path, what)
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


def _busy(path: Path, what: str) -> RunAgainError:
    return RunAgainError(
        f"{what}: another process holds {path}; nothing was touched",
        hint="run again when it is done, or give it more time with --deadline",
    )


def try_lock(fd: int) -> bool:
    """Lock the open file against other openers (flock(2)); False if one of them has it.

    The lock ends with the last descriptor of this opening, so with the process at the latest.
    A file system without flock answers True: there the backend alone tells who still writes.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
    return True


def is_held(fd: int) -> bool:
    """Whether another opener holds the open file by `try_lock`; readers do not hinder each other.

    A file system without flock answers False.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


_POLL_S = 0.05
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_FLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})
