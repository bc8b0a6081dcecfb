"""Locks: one holder at a time, with our errors and always a deadline."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, RunAgainError


@contextmanager
def held(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold the lock file `path` (made if missing, never changed or deleted) while the block runs.

    Where there is no room to make it, its directory is locked instead: a full file system must
    not keep anybody from ending what needs no room.

    Raises:
        RunAgainError: somebody else held it for `timeout_s` seconds; `what` names the object.
        PermissionRefusedError: the file system has no flock(2), so nobody can be kept out.
        OSError: the lock file cannot be made or locked.
    """
    with ExitStack() as stack:
        if path.exists() or _made(path, stack, timeout_s=timeout_s, what=what):
            stack.enter_context(_file_held(path, timeout_s=timeout_s, what=what))
        yield


def _made(path: Path, stack: ExitStack, *, timeout_s: float, what: str) -> bool:
    """Whether the lock file is there now; else there is no room, and its directory is locked
    until `stack` ends. Whoever makes the file locks the directory first, so nobody makes it
    beside one who holds the directory in its place."""
    with ExitStack() as making:
        directory = _directory_held(path.parent, timeout_s=timeout_s, what=what)
        dir_fd, locked = making.enter_context(directory)
        try:
            os.close(fsops.create(dir_fd, os.fsencode(path.name), mode=0o644))
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_ROOM or not locked:
                raise
            stack.push(making.pop_all())
            return False
    return True


@contextmanager
def _file_held(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    lock = FileLock(path, timeout=max(timeout_s, 0.0), fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as busy:
        raise _busy(path, what) from busy
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        raise PermissionRefusedError(
            f"{what}: the file system of {path} has no locks (flock: {error.strerror}), so nobody "
            "can tell whether another process works here; nothing was touched",
            hint="mount it with flock, or keep this directory where there is flock",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _directory_held(path: Path, *, timeout_s: float, what: str) -> Iterator[tuple[int, bool]]:
    """The directory, open, and whether flock(2) has locked it: not every file system does that."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + timeout_s
        while (locked := _flocked(fd, _NO_FLOCK | _NO_DIRECTORIES)) is False:
            if time.monotonic() >= end:
                raise _busy(path, what)
            time.sleep(_POLL_S)
        yield fd, locked is True
    finally:
        os.close(fd)


def _flocked(fd: int, unable: frozenset[int]) -> bool | None:
    """Whether the open file is locked now; None where its file system is `unable`."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in unable:
            raise
        return None
    return True


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
    return _flocked(fd, _NO_FLOCK) is not False


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
_NO_DIRECTORIES = frozenset({errno.EBADF, errno.EINVAL, errno.EISDIR})  # NFS locks what is written
