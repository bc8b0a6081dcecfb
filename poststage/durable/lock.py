"""Locks: one holder at a time, with our errors and always a deadline."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from poststage.errors import RunAgainError


@contextmanager
def held(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold the lock file `path` (made if missing, never deleted) while the block runs.

    Raises:
        RunAgainError: somebody else held it for `timeout_s` seconds; `what` names the object.
        OSError: the lock file cannot be made or locked.
    """
    lock = FileLock(path, timeout=max(timeout_s, 0.0))
    try:
        lock.acquire()
    except Timeout as busy:
        raise RunAgainError(
            f"{what}: another process holds {path}; nothing was touched",
            hint="run again when it is done, or give it more time with --deadline",
        ) from busy
    try:
        yield
    finally:
        lock.release()


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


_NO_FLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})
