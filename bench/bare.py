"""What bench/floor.c does with one thread, from Python: the calls alone, nothing is decoded.

usage: python bench/bare.py TOP STATES FILES MTIME_NS_BASE

So much of finalize's time is the price of Python's calls, and what is left is finalize's own.
"""

import ctypes
import fcntl
import os
import sys

_BATCH, _PARTS_IN_DIR, _NOREPLACE = 512, 256, 1
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


def main(top: str, states: int, files: int, base_ns: int) -> None:
    """The tree as a job left it, finalized."""
    os.chdir(top)
    state_dir = os.open("state/ts.0", os.O_RDONLY | os.O_DIRECTORY)
    for first in range(0, states, _BATCH):
        _batch(state_dir, range(first, min(first + _BATCH, states)), states, files, base_ns)


def _path(state: int, states: int, suffix: bytes) -> bytes:
    place = b"%d.parts/" % (state // _PARTS_IN_DIR) if states > _PARTS_IN_DIR else b""
    return place + b"%d" % state + suffix


def _read(state_dir: int, name: bytes) -> None:
    fd = os.open(name, _OPEN, dir_fd=state_dir)
    size = os.fstat(fd).st_size
    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.pread(fd, size, 0)
    os.close(fd)


def _restore(directory: int, temp: bytes, mtime_ns: int) -> None:
    fd = os.open(temp, _OPEN, dir_fd=directory)
    os.fstat(fd)
    os.chmod(fd, 0o640)
    os.utime(fd, ns=(1, mtime_ns))
    os.close(fd)


def _batch(state_dir: int, some: range, states: int, files: int, base_ns: int) -> None:
    directories = []
    for state in some:
        _read(state_dir, _path(state, states, b".state"))
        directory = os.open(b"dst/%d" % state, os.O_RDONLY | os.O_DIRECTORY)
        os.fstat(directory)
        directories.append(directory)
        for index in range(files):
            _restore(directory, b".f%d.%016x-%d.poststage" % (index, state, index), base_ns + state)
    if _libc.syncfs(directories[0]) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    rename = _libc.renameat2
    for state, directory in zip(some, directories, strict=True):
        for index in range(files):
            temp = b".f%d.%016x-%d.poststage" % (index, state, index)
            if rename(directory, temp, directory, b"f%d" % index, _NOREPLACE) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for directory in directories:
        os.fsync(directory)
        os.close(directory)
    for state in some:
        names = _path(state, states, b".state"), _path(state, states, b".done")
        os.rename(*names, src_dir_fd=state_dir, dst_dir_fd=state_dir)
    last = _path(some[0], states, b"").rpartition(b"/")[0] or b"."
    fd = os.open(last, os.O_RDONLY | os.O_DIRECTORY, dir_fd=state_dir)
    os.fsync(fd)
    os.close(fd)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
