"""Whether a file system has what finalizing needs: tried out in a directory of our own on it."""

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from poststage.durable import fsops, lock
from poststage.names import NAME_MAX, shown
from poststage.site.finding import Finding, fine, note, wrong

_SKEW_S = 2.0
_NS = 123_456_789
_FREE_LEAST = 64 << 20

Try = Callable[[int, str], Finding]


def checks(path: bytes) -> Iterator[Finding]:
    """What is found out about the file system of the directory `path`; leaves nothing behind."""
    what = shown(path)
    try:
        fd = fsops.open_dir(path)
    except OSError as error:
        yield wrong(
            what, f"cannot be opened: {error.strerror}", "make it, or mount its file system"
        )
        return
    name = b".poststage-check-%s" % secrets.token_hex(6).encode("ascii")
    try:
        fsops.make_dir(fd, name, 0o700)
        inside = fsops.open_subdir(fd, name)
    except OSError as error:
        yield wrong(what, f"cannot be written: {error.strerror}", "run this as who writes there")
        os.close(fd)
        return
    try:
        for attempt in _TRIES:
            yield _tried(attempt, inside, what)
    finally:
        _clear(fd, name, inside)


def _tried(attempt: Try, fd: int, what: str) -> Finding:
    try:
        return attempt(fd, what)
    except OSError as error:
        text = attempt.__name__.lstrip("_").replace("_", " ")
        return wrong(what, f"{text}: {error.strerror}", "use another file system for this")


def _clear(fd: int, name: bytes, inside: int) -> None:
    for one in os.listdir(inside):
        with suppress(OSError):
            fsops.unlink(inside, os.fsencode(one))
    os.close(inside)
    with suppress(OSError):
        fsops.remove_dir(fd, name)
    os.close(fd)


def _new(fd: int, name: bytes) -> None:
    os.close(fsops.create(fd, name, mode=0o600))


def _rename_without_replacing(fd: int, what: str) -> Finding:
    _new(fd, b"temp")
    if fsops.has_noreplace(fd, b"temp", b"published"):
        return fine(what, "RENAME_NOREPLACE works")
    if fsops.try_link(fd, b"temp", b"published"):
        return fine(what, "no RENAME_NOREPLACE; publishes by link and unlink")
    return note(
        what,
        "neither RENAME_NOREPLACE nor hard links",
        "a name that another program takes in the very moment of publishing is replaced",
    )


def _exchange_of_names(fd: int, what: str) -> Finding:
    _new(fd, b"one")
    _new(fd, b"other")
    if fsops.exchange(fd, b"one", b"other"):
        return fine(what, "RENAME_EXCHANGE works")
    return note(
        what, "no RENAME_EXCHANGE", "a file is replaced by rename: safe, but for what races it"
    )


def _syncfs(fd: int, what: str) -> Finding:
    try:
        fsops.sync_filesystem(fd)
    except OSError as error:
        return note(what, f"syncfs: {error.strerror}", "each file is synced by itself: slower")
    return fine(what, "syncfs works")


def _locks(fd: int, what: str) -> Finding:
    _new(fd, b"lock")
    first, second = (os.open(b"lock", os.O_RDWR | os.O_CLOEXEC, dir_fd=fd) for _ in range(2))
    try:
        if not lock.try_lock(first) or lock.try_lock(second):
            return note(
                what,
                "flock does not keep a second opener out",
                "mount it with flock: finalize refuses to work where nobody can be kept out",
            )
    finally:
        os.close(first)
        os.close(second)
    return fine(what, "flock works on this node")


def _times(fd: int, what: str) -> Finding:
    file = fsops.create(fd, b"times", mode=0o600)
    try:
        fsops.set_times(file, _NS, 10**18 + _NS)
        kept = os.fstat(file).st_mtime_ns
    finally:
        os.close(file)
    if kept == 10**18 + _NS:
        return fine(what, "times are exact to the nanosecond")
    return note(
        what, "times are rounded", "published files cannot get the exact times of their sources"
    )


def _clock(fd: int, what: str) -> Finding:
    before = time.time()
    _new(fd, b"clock")
    skew = os.stat(b"clock", dir_fd=fd).st_mtime - before
    if abs(skew) <= _SKEW_S:
        return fine(what, "its clock is this node's")
    return note(what, f"its clock is {skew:+.1f} s from this node's", "keep the clocks together")


def _long_names(fd: int, what: str) -> Finding:
    _new(fd, b"n" * NAME_MAX)
    return fine(what, f"names of {NAME_MAX} bytes")


def _any_names(fd: int, what: str) -> Finding:
    try:
        _new(fd, b"odd \xff\n\x1b")
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EILSEQ}:
            raise
        return note(what, "refuses names that are not text", "such files cannot be published")
    return fine(what, "names of any bytes")


def _room(fd: int, what: str) -> Finding:
    info = os.fstatvfs(fd)
    free = info.f_bavail * info.f_frsize
    if free >= _FREE_LEAST and (info.f_favail > 1000 or info.f_files == 0):
        return fine(what, f"{free >> 20} MiB free")
    return note(what, f"{free >> 20} MiB and {info.f_favail} files free", "state files need room")


_TRIES: tuple[Try, ...] = (
    _rename_without_replacing,
    _exchange_of_names,
    _syncfs,
    _locks,
    _times,
    _clock,
    _long_names,
    _any_names,
    _room,
)
