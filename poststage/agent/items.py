"""What is to be handed over: single names and whole trees as `Item`s. Reads directories only."""

import os
import stat
from collections.abc import Iterator

from msgspec import Struct

from poststage import names
from poststage.errors import SourceError, UsageError
from poststage.model import Kind

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a directory",
}


class Item(Struct, frozen=True):
    """One name to hand over, as it was found; both paths are absolute."""

    kind: Kind
    source: bytes
    destination: bytes
    size: int = 0
    """Bytes; 0 for what is no regular file."""
    inode: tuple[int, int] | None = None
    """(device, inode number) of a file with further names in the same tree, else None."""


AnyPath = bytes | str | os.PathLike[str] | os.PathLike[bytes]


def absolute(path: AnyPath) -> bytes:
    """`path` as bytes, absolute, without `.`, `..` and doubled slashes; symlinks stay.

    `..` is taken off the text, as a shell's `cd` does it.

    Raises:
        UsageError: no file can have that name.
    """
    name = os.path.abspath(os.fsencode(path))
    plain = name[1:] if name.startswith(b"//") else name  # POSIX leaves two of them alone
    if not names.is_absolute(plain):
        raise UsageError(f"{names.shown(name[:200])}: is not a file's name; nothing was recorded")
    return plain


def absolute_source(path: AnyPath) -> bytes:
    """`path` as bytes and absolute, naming the file that it names now; a last symlink stays.

    Raises:
        UsageError: no file can have that name.
    """
    name = os.fsencode(path)
    if names.is_absolute(name):
        return name
    directory, last = os.path.split(name.rstrip(b"/"))
    if not names.is_component(last):
        return absolute(os.path.realpath(name.replace(b"\0", b"%00")))
    return absolute(os.path.join(os.path.realpath(directory), last))


def item_of(source: bytes, destination: bytes) -> Item:
    """The file or symlink `source` as an item; a symlink stays one.

    Raises:
        SourceError: it is missing, special or a directory.
    """
    return _item(source, destination, _lstat(source))


def listed(source_dir: bytes, destination_dir: bytes) -> Iterator[Item]:
    """Everything below `source_dir`, each directory before what it holds, names in order.

    The root itself is an item only if nothing stands at `destination_dir`: a directory
    that was there before keeps its mode. Symlinks are never followed, but for the root.

    Raises:
        SourceError: something is special, or a directory cannot be read.
    """
    info = _lstat(source_dir, follow=True)
    if not stat.S_ISDIR(info.st_mode):
        raise SourceError(f"{names.shown(source_dir)}: is not a directory; nothing was recorded")
    if not os.path.lexists(destination_dir):
        yield Item(Kind.DIRECTORY, source_dir, destination_dir)
    pending = [(source_dir, destination_dir)]
    while pending:
        source, destination = pending.pop()
        for name, info in _children(source):
            item = _item(
                os.path.join(source, name), os.path.join(destination, name), info, in_tree=True
            )
            if item.kind is Kind.DIRECTORY:
                pending.append((item.source, item.destination))
            yield item


def implied(source: bytes, destination: bytes) -> Iterator[Item]:
    """Directories that `destination` lacks and whose modes the source's directories tell.

    Both paths are walked upwards while the directories' names are the same and the
    destination's does not exist; the lowest comes first.
    """
    below, above = os.path.dirname(destination), os.path.dirname(source)
    while os.path.basename(below) == os.path.basename(above) != b"":
        if os.path.lexists(below):
            return
        yield Item(Kind.DIRECTORY, above, below)
        below, above = os.path.dirname(below), os.path.dirname(above)


def _item(
    source: bytes, destination: bytes, info: os.stat_result, *, in_tree: bool = False
) -> Item:
    mode = info.st_mode
    if stat.S_ISREG(mode):
        shared = in_tree and info.st_nlink > 1
        inode = (info.st_dev, info.st_ino) if shared else None
        return Item(Kind.FILE, source, destination, info.st_size, inode)
    if stat.S_ISLNK(mode):
        return Item(Kind.SYMLINK, source, destination)
    if in_tree and stat.S_ISDIR(mode):
        return Item(Kind.DIRECTORY, source, destination)
    what = _SPECIAL.get(stat.S_IFMT(mode), "of a kind that cannot be copied")
    raise SourceError(
        f"{names.shown(source)}: is {what}; it was not handed over",
        hint="hand a directory over with add_tree, or as SRC of `poststage out`"
        if stat.S_ISDIR(mode)
        else "only regular files, symlinks and directories can be handed over",
    )


def _children(directory: bytes) -> list[tuple[bytes, os.stat_result]]:
    try:
        fd = _open_dir(directory)
        try:
            with os.scandir(fd) as entries:
                found = [
                    (os.fsencode(entry.name), entry.stat(follow_symlinks=False))
                    for entry in entries
                ]
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(directory, error) from error
    return sorted(found, key=lambda pair: pair[0])


def _open_dir(path: bytes) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)  # its atime is yet to be recorded
    except PermissionError:  # that is the owner's alone
        return os.open(path, flags)


def _lstat(path: bytes, *, follow: bool = False) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: bytes, error: OSError) -> SourceError:
    return SourceError(
        f"{names.shown(path)}: cannot be read: {error.strerror}; it was not handed over"
    )
