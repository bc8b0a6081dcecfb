"""What an item is and what stands at its destination, at this moment: `Item` → `Observed`.

Reads only. The source's attributes are taken before its content is read, so that a
checksum does not show in the recorded atime; where the owner reads, not in the source's.
"""

import os
import stat
from collections.abc import Iterable, Iterator

import xxhash
from msgspec import Struct

from poststage import names
from poststage.agent.items import Item
from poststage.errors import PermissionRefusedError, SourceError, UsageError
from poststage.model import Identity, Kind, Meta

_TIMES = range(-(2**63), 2**63)  # ns in 64 bits: the years 1677 to 2262
_BLOCK = 1 << 18  # bytes read at a time for a checksum: they stay in the processor's cache
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Observed(Struct, frozen=True):
    """All of an entry but its place in the transfer; see `model.Entry` for the fields."""

    kind: Kind
    source: bytes
    destination: bytes
    meta: Meta
    prior: Identity | None
    checksum: str | None = None
    target: bytes | None = None
    link_of: bytes | None = None
    """LINK: the destination of the FILE that it is a further name of."""


def observe(item: Item, *, checksum: bool) -> Observed:
    """`item` as it is now.

    Raises:
        SourceError: it is gone, has changed its kind, is unreadable, or has times
            that do not fit 64 bits.
        UsageError: something is in the way at the destination.
        PermissionRefusedError: the destination cannot be looked at.
    """
    prior = _prior(item)
    try:
        return _observed(item, prior, checksum=checksum)
    except OSError as error:
        raise _not_handed_over(item.source, f"cannot be read: {error.strerror}") from error


def observe_all(items: Iterable[Item], *, checksum: bool) -> Iterator[Observed]:
    """Each item in its order; further names of a file become links where that can be.

    That is where the destinations lie on one file system, the first name's being the file.
    """
    first: dict[tuple[int, int, int], Observed] = {}
    devices: dict[bytes, int] = {}
    for item in items:
        if item.inode is None:
            yield observe(item, checksum=checksum)
            continue
        key = (*item.inode, _device(os.path.dirname(item.destination), devices))
        file = first.get(key)
        if file is None:
            first[key] = observe(item, checksum=checksum)
            yield first[key]
        else:
            yield _link(item, file)


def _observed(item: Item, prior: Identity | None, *, checksum: bool) -> Observed:
    source, destination = item.source, item.destination
    if item.kind is Kind.FILE:
        meta, digest = _read_file(source, checksum=checksum)
        return Observed(item.kind, source, destination, meta, prior, digest)
    info = os.stat(source, follow_symlinks=item.kind is Kind.DIRECTORY)
    if item.kind is Kind.SYMLINK:
        if not stat.S_ISLNK(info.st_mode):
            raise _not_handed_over(source, "is no symlink any more")
        target = os.readlink(source)
        return Observed(item.kind, source, destination, _meta(source, info), prior, target=target)
    if not stat.S_ISDIR(info.st_mode):
        raise _not_handed_over(source, "is no directory any more")
    return Observed(item.kind, source, destination, _meta(source, info), prior)


def _link(item: Item, file: Observed) -> Observed:
    """`item` as a further name of `file`, with what was recorded of it before it was read."""
    prior = _prior(item)
    try:
        info = os.lstat(item.source)
    except OSError as error:
        raise _not_handed_over(item.source, f"cannot be read: {error.strerror}") from error
    if (info.st_dev, info.st_ino) != item.inode:
        raise _not_handed_over(item.source, "is another file than a moment ago")
    return Observed(
        Kind.LINK, item.source, item.destination, file.meta, prior, link_of=file.destination
    )


def _read_file(source: bytes, *, checksum: bool) -> tuple[Meta, str | None]:
    fd = _open(source)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise _not_handed_over(source, "is no regular file any more")
        return _meta(source, info), _digest(fd) if checksum else None
    finally:
        os.close(fd)


def _open(source: bytes) -> int:
    try:
        return os.open(source, _OPEN | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is the owner's; so may be the file
        return os.open(source, _OPEN)


def _digest(fd: int) -> str:
    state, block = xxhash.xxh3_128(), bytearray(_BLOCK)
    view = memoryview(block)
    while count := os.readv(fd, [block]):
        state.update(view[:count])
    return f"xxh3_128:{state.hexdigest()}"


def _meta(source: bytes, info: os.stat_result) -> Meta:
    if info.st_atime_ns not in _TIMES or info.st_mtime_ns not in _TIMES:
        raise _not_handed_over(source, "has a time outside of the years 1677 to 2262")
    size = info.st_size if stat.S_ISREG(info.st_mode) else 0
    mode = stat.S_IMODE(info.st_mode)
    return Meta(size, info.st_uid, info.st_gid, mode, info.st_atime_ns, info.st_mtime_ns)


def _prior(item: Item) -> Identity | None:
    """What stands at the destination; UsageError if it cannot give way to the item."""
    try:
        info = os.lstat(item.destination)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionRefusedError(
            f"{names.shown(item.destination)}: cannot be looked at: {error.strerror}; "
            f"{names.shown(item.source)} was not handed over"
        ) from error
    except OSError as error:
        raise _in_the_way(item, error.strerror or str(error)) from error
    if stat.S_ISDIR(info.st_mode) is not (item.kind is Kind.DIRECTORY):
        is_dir = stat.S_ISDIR(info.st_mode)
        raise _in_the_way(item, "is a directory" if is_dir else "is not a directory")
    if info.st_mtime_ns not in _TIMES:
        raise _in_the_way(item, "has a time outside of the years 1677 to 2262")
    return Identity(info.st_ino, info.st_size, info.st_mtime_ns)


def _device(directory: bytes, devices: dict[bytes, int]) -> int:
    """The device of `directory` or of the nearest one above it that exists."""
    asked = [directory]
    while asked[-1] not in devices:
        try:
            devices[asked[-1]] = os.stat(asked[-1]).st_dev
        except OSError:
            asked.append(os.path.dirname(asked[-1]))
    devices.update(dict.fromkeys(asked, devices[asked[-1]]))
    return devices[directory]


def _in_the_way(item: Item, fact: str) -> UsageError:
    return UsageError(
        f"{names.shown(item.destination)}: {fact}; {names.shown(item.source)} was not handed over",
        hint="choose another destination, or move away what stands there",
    )


def _not_handed_over(source: bytes, fact: str) -> SourceError:
    return SourceError(f"{names.shown(source)}: {fact}; it was not handed over")
