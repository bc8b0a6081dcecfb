"""Making written temp files durable: of many at once by one syncfs, each with its own outcome."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from poststage.copier.engine import CopyError, Order, Watch, Written, write_file
from poststage.durable import fsops

_AT_ONCE = 16  # fsyncs where syncfs is not to be had
_WORTH_SYNCFS = 4  # files; fewer are synced by themselves, and nobody else's data with them


class Copied(Struct, frozen=True):
    """A temp file that is complete and durable under its name."""

    mtime_ns: int
    how: str
    """As `Written.how`."""


def copy_file(order: Order, watch: Watch) -> Copied:
    """`write_file` and `settle`, for one file.

    Raises:
        CopyError, CopyStoppedError: as `write_file`; or it cannot be made durable.
    """
    written = write_file(order, watch)
    try:
        (found,) = settle([written])
    finally:
        written.close()
    if isinstance(found, CopyError):
        raise found
    return found


def settle(batch: Sequence[Written]) -> list[Copied | CopyError]:
    """What became of each of `batch`, in its order: contents, size and name durable, or why not.

    One syncfs for each file system; after an error, and where there are few, each file and each
    directory is synced by itself: whose error it was is known then. No fsync that failed is
    repeated.
    """
    errors: dict[int, OSError] = {}
    for some in _by_filesystem(batch):
        if len(some) < _WORTH_SYNCFS or not _synced_at_once([batch[index] for index in some]):
            errors |= _sync_each({index: batch[index] for index in some})
    return [_outcome(one, errors.get(index)) for index, one in enumerate(batch)]


def _by_filesystem(batch: Sequence[Written]) -> Iterable[list[int]]:
    """Indices into `batch`."""
    found: dict[int, list[int]] = {}
    for index, one in enumerate(batch):
        found.setdefault(one.device, []).append(index)
    return found.values()


def _synced_at_once(some: Sequence[Written]) -> bool:
    # It tells of errors since its descriptor was opened: this one was before any was written.
    first = min(some, key=lambda one: one.begun_ns)
    try:
        fsops.sync_filesystem(first.order.dir_fd)
    except OSError:
        return False
    return True


def _sync_each(some: Mapping[int, Written]) -> dict[int, OSError]:
    """The errors, by index; several at a time, since each waits for the disk."""
    directories: dict[tuple[int, int], Written] = {}
    for one in sorted(some.values(), key=lambda one: one.begun_ns):
        info = os.fstat(one.order.dir_fd)
        directories.setdefault((info.st_dev, info.st_ino), one)
    fds = [one.temp_fd for one in some.values()]
    if len(fds) < _WORTH_SYNCFS:
        synced = [_error(fd) for fd in fds]
    else:
        with ThreadPoolExecutor(min(len(fds), _AT_ONCE)) as pool:
            synced = list(pool.map(_error, fds))
    errors = dict(zip(some, synced, strict=True))
    of_directory = {key: _error(one.order.dir_fd) for key, one in directories.items()}
    for index, one in some.items():
        info = os.fstat(one.order.dir_fd)
        errors[index] = errors[index] or of_directory[info.st_dev, info.st_ino]
    return {index: error for index, error in errors.items() if error is not None}


def _error(fd: int) -> OSError | None:
    try:
        fsops.sync(fd)
    except OSError as error:
        return error
    return None


def _outcome(one: Written, error: OSError | None) -> Copied | CopyError:
    if error is not None:
        return CopyError(error.strerror or str(error))
    try:
        info, named = os.fstat(one.temp_fd), fsops.facts(one.order.dir_fd, one.order.temp)
    except OSError as late:
        return CopyError(late.strerror or str(late))
    if named is None or (named.st_dev, named.st_ino) != (info.st_dev, info.st_ino):
        return CopyError("the temp file was removed or replaced while it was written")
    return Copied(info.st_mtime_ns, one.how)
