"""The only place that copies contents: one file, resumable, holes kept, in bounded pieces.

copy_file_range(2) and ioctl FICLONE, see ioctl_ficlone(2); pread and pwrite where neither works.
"""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from poststage.copier import holes, proof
from poststage.durable import fsops

PIECE = 8 << 20  # bytes; bounds how long a cancel or stop waits
_WRITEBACK_FROM = 1 << 20  # bytes; less is written with its neighbours
_FICLONE = 0x40049409
# What file systems and kernels answer that cannot share or copy extents between two files.
_NO_KERNEL_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM}
    | {errno.EBADF, errno.ETXTBSY, errno.EIO}  # seen from FUSE and old NFS; read and write decides
)
# Of these, those that hold for every file of a file system, while this process lives.
_NO_REFLINKS = frozenset({errno.EOPNOTSUPP, errno.ENOTTY})
_without_reflinks: set[int] = set()  # st_dev


class CopyError(Exception):
    """The file cannot be copied; the text says why. The temp file is left as it is."""


class CopyStoppedError(Exception):
    """Somebody asked for the end of the copy; what was proven stays proven."""


class Watch(Protocol):
    """Is asked before each piece: for limits, stops and faults."""

    def allow(self, offset: int, want: int) -> int:
        """How many of the `want` bytes at `offset` come next, at least 1; may wait or raise."""

    def go_on(self) -> None:
        """Is asked before each block that is only compared; may raise."""

    def resumed(self, offset: int) -> None:
        """Of what was recorded as durable, `offset` bytes are proven; the copy goes on there."""

    def proven(self, offset: int) -> None:
        """The first `offset` bytes are durable in the temp file."""

    def final_size(self, size: int) -> int:
        """The size that the temp file gets: `size`, unless a fault makes it shorter."""


class Order(Struct, frozen=True):
    """One copy: from the open source into the name `temp` in an open directory."""

    source_fd: int
    dir_fd: int
    temp: bytes
    size: int
    mtime_ns: int
    resume_at: int = 0
    """Bytes that were durable in the temp file once: so far it is worth comparing."""
    prove_bytes: int = 1 << 30
    """How often what was copied is made durable on the way; 0 for only at the end."""


class Written(Struct, frozen=True):
    """A temp file with all its contents, not yet durable; `settling.settle` makes it so."""

    temp_fd: int
    """Open since before the first byte was written, so that an error on the way is heard of."""
    order: Order
    begun_ns: int
    """When (time.monotonic_ns) its directory was open and nothing of it written."""
    device: int
    how: str
    """clone, range or read: what moved its bytes."""

    def close(self) -> None:
        """Let go of the temp file, about which fsync(2) has been asked: NFS and FUSE may tell
        an error here as well."""
        with suppress(OSError):
            os.close(self.temp_fd)


def write_file(order: Order, watch: Watch) -> Written:
    """Copy as `order` says; on return size and contents are there, and nothing is durable.

    Mode: the source's permission bits less the umask. Neither owner nor times.

    Raises:
        CopyError: with the reason, also for any OSError on the way.
        CopyStoppedError: from `watch`.
    """
    begun_ns = time.monotonic_ns()
    try:
        source = _checked_source(order)
        # Without setuid and setgid: until the finalizer gives the owner, the file is the daemon's.
        temp_fd = fsops.open_temp(order.dir_fd, order.temp, mode=source.st_mode & 0o777)
        try:
            temp = _own(temp_fd)
            how = _copy_into(temp_fd, order, watch, source, temp)
            return Written(temp_fd, order, begun_ns, temp.st_dev, how)
        except BaseException:
            os.close(temp_fd)
            raise
    except OSError as error:
        raise CopyError(error.strerror or str(error)) from error


def open_source(path: bytes, *, dir_fd: int | None = None) -> int:
    """The source for reading; never follows a link at its last name, never hangs on a FIFO."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=dir_fd)


def source_change(source_fd: int, size: int, mtime_ns: int) -> str:
    """What is different from the record at the open source; "" for nothing."""
    return _change(os.fstat(source_fd), size, mtime_ns)


def _change(info: os.stat_result, size: int, mtime_ns: int) -> str:
    if not stat.S_ISREG(info.st_mode):
        return "the source is not a regular file"
    if info.st_size != size:
        return f"the source changed since it was recorded: {size} bytes then, {info.st_size} now"
    if info.st_mtime_ns != mtime_ns:
        return "the source changed since it was recorded: its mtime is another"
    return ""


def _checked_source(order: Order) -> os.stat_result:
    info = os.fstat(order.source_fd)
    change = _change(info, order.size, order.mtime_ns)
    if change:
        raise CopyError(change)
    return info


def _own(temp_fd: int) -> os.stat_result:
    """What is known of the temp file, which nobody else can write by another name."""
    info = os.fstat(temp_fd)
    if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
        raise CopyError("something else has the temp file's name; it was left untouched")
    if info.st_uid != os.geteuid():  # who owns it could write to it later
        raise CopyError("somebody else's file has the temp file's name; it was left untouched")
    return info


def _copy_into(
    temp_fd: int, order: Order, watch: Watch, source: os.stat_result, temp: os.stat_result
) -> str:
    start = _starting_point(temp_fd, order, watch)
    if temp.st_size != start:
        os.ftruncate(temp_fd, start)
    sparse = source.st_blocks * 512 < order.size and holes.are_told(order.source_fd, order.size)
    shares = source.st_dev == temp.st_dev and temp.st_dev not in _without_reflinks
    if start == 0 and shares and _clone(temp_fd, order, watch):
        how = "clone"
    else:
        how = _Pieces(temp_fd, order, watch, sparse=sparse).copy(start)
    size = watch.final_size(order.size)
    if size != order.size or sparse:  # a hole at the end is not written
        os.ftruncate(temp_fd, size)
    _checked_source(order)
    return how


def _starting_point(temp_fd: int, order: Order, watch: Watch) -> int:
    """Up to where the temp file holds, byte for byte, what was recorded as durable in it."""
    if not order.resume_at:
        return 0
    start = proof.proven(order.source_fd, temp_fd, order.resume_at, watch.go_on)
    watch.resumed(start)
    return start


def _clone(temp_fd: int, order: Order, watch: Watch) -> bool:
    """Share all extents in one step, if nobody wants them piece by piece."""
    if order.size == 0 or watch.allow(0, order.size) < order.size:
        return False
    try:
        fcntl.ioctl(temp_fd, _FICLONE, order.source_fd)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
        if error.errno in _NO_REFLINKS:
            _without_reflinks.add(os.fstat(temp_fd).st_dev)
        return False
    return True


class _Pieces:
    """Copies data, skips holes, proves now and then."""

    def __init__(self, temp_fd: int, order: Order, watch: Watch, *, sparse: bool) -> None:
        self.temp_fd, self.order, self.watch, self.sparse = temp_fd, order, watch, sparse
        self.how = "range"
        self.unproven = 0

    def copy(self, start: int) -> str:
        """Copy everything from `start`; what moved the bytes."""
        position = start
        while position < self.order.size:
            first, last = self._next_data(position)
            while first < last:
                first += self._piece(first, last - first)
                self._prove(first)
            position = last
        return self.how

    def _next_data(self, position: int) -> tuple[int, int]:
        if not self.sparse:
            return position, self.order.size
        return holes.next_data(self.order.source_fd, position, self.order.size)

    def _piece(self, offset: int, want: int) -> int:
        count = self.watch.allow(offset, min(want, PIECE))
        done = self._range(offset, count) if self.how == "range" else 0
        if not done:
            done = self._read_write(offset, count)
        if not done:
            raise CopyError("the source changed since it was recorded: it became shorter")
        self.unproven += done
        if done >= _WRITEBACK_FROM:
            fsops.start_writeback(self.temp_fd, offset, done)
        return done

    def _range(self, offset: int, count: int) -> int:
        source_fd = self.order.source_fd
        try:
            return os.copy_file_range(source_fd, self.temp_fd, count, offset, offset)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
        self.how = "read"
        return 0

    def _read_write(self, offset: int, count: int) -> int:
        data = os.pread(self.order.source_fd, count, offset)
        view, position = memoryview(data), offset
        while view:
            written = os.pwrite(self.temp_fd, view, position)
            view, position = view[written:], position + written
        return len(data)

    def _prove(self, offset: int) -> None:
        if not self.order.prove_bytes or self.unproven < self.order.prove_bytes:
            return
        self.unproven = 0
        fsops.sync(self.temp_fd)
        self.watch.proven(offset)
