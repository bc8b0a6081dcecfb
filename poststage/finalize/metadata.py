"""Giving a temp file its recorded owner, mode and times, and proving its contents."""

import errno
import os
import stat

from poststage.durable import fsops
from poststage.finalize.seen import Facts, facts_of
from poststage.model import Meta

_SPECIAL = stat.S_ISUID | stat.S_ISGID
_PIECE = 1 << 22


def restore(fd: int, now: Facts, meta: Meta) -> bool:
    """Set what is not already as in `meta`; whether anything was set.

    Owner first (a chown strips setuid and setgid), then mode, times last. What fstat shows
    to be right is not set again: on a parallel file system each call is a round trip.

    Raises:
        OSError: EPERM too where the kernel dropped a setuid or setgid bit without a word.
    """
    owner = (now.meta.uid, now.meta.gid) != (meta.uid, meta.gid)
    if owner:
        fsops.set_owner(fd, _if_other(meta.uid, now.meta.uid), _if_other(meta.gid, now.meta.gid))
    mode = owner or now.meta.mode != meta.mode
    if mode:
        fsops.set_mode(fd, meta.mode)
        if meta.mode & _SPECIAL and stat.S_IMODE(os.fstat(fd).st_mode) != meta.mode:
            raise PermissionError(errno.EPERM, "the setuid or setgid bit is not granted")
    times = (now.meta.atime_ns, now.meta.mtime_ns) != (meta.atime_ns, meta.mtime_ns)
    if times:
        fsops.set_times(fd, meta.atime_ns, meta.mtime_ns)
    return owner or mode or times


def _if_other(wanted: int, now: int) -> int:
    """`wanted`, or -1 (leave it alone) where it is so already."""
    return -1 if wanted == now else wanted


def checksum_fits(fd: int, checksum: str) -> bool:
    """Whether the file's contents, read from the disk and not from the cache, have `checksum`.

    A file that its owner cannot read is made readable first (its mode is restored after).
    Changes the atime: restore it afterwards.
    """
    readable = _readable(fd)
    try:
        fsops.sync(readable)  # dirty pages cannot be dropped, and would be read back as good
        fsops.drop_cache(readable)
        return checksum == _xxh3(readable)
    finally:
        os.close(readable)


def open_for_fsync(dir_fd: int, name: bytes) -> int:
    """A descriptor of `name` that fsync(2) takes, also of a file that its owner cannot read."""
    fd = fsops.open_file(dir_fd, name)
    if not fsops.is_path_only(fd):
        return fd
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    try:
        return _readable(fd)
    finally:
        fsops.set_mode(fd, mode)
        os.close(fd)


def _readable(fd: int) -> int:
    if fsops.is_path_only(fd):
        fsops.set_mode(fd, stat.S_IRUSR)
    return os.open(b"/proc/self/fd/%d" % fd, os.O_RDONLY | os.O_CLOEXEC)


def _xxh3(fd: int) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    while piece := os.read(fd, _PIECE):
        digest.update(piece)
    return "xxh3_128:" + digest.hexdigest()


def facts_now(fd: int) -> Facts:
    """fstat of the descriptor."""
    return facts_of(os.fstat(fd))
