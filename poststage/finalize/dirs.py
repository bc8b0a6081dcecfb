"""Open directories, each once: the walk to a destination, and a bounded cache of it."""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError
from poststage.finalize.limits import descriptors
from poststage.names import is_absolute, shown, split

OPEN_MAX = 256  # descriptors; well below the usual soft limit of 1024
_OPEN_LEAST = 4
_OPEN_SHARE = 8  # of all descriptors; two caches have so many, and a batch twice that
_MAYBE_ROOTS_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})
_PARENTS_MAX = 4
_LINKS_MAX = 40  # symlinks on the way to one name, path_resolution(7)


def open_most(threads: int) -> int:
    """How many directories a cache of one of `threads` may keep open."""
    return max(_OPEN_LEAST, min(OPEN_MAX, descriptors() // _OPEN_SHARE) // threads)


class Dirs:
    """Directory path → descriptor. Not thread safe; `close` when done."""

    def __init__(
        self, opener: Callable[[bytes], int] = fsops.open_dir, open_max: int = OPEN_MAX
    ) -> None:
        self._opener, self._open_max = opener, open_max
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._last: tuple[bytes, int] = b"", -1  # asked for in a row, as a rule

    def fd(self, path: bytes) -> int:
        """A descriptor of `path`, valid until `open_max` others were asked for.

        Raises:
            OSError: it cannot be opened (not there, no directory, no permission).
            PermissionRefusedError: the walk for root met a place that others could swap.
        """
        if path == self._last[0]:
            return self._last[1]
        fd = self._open.get(path)
        if fd is None:
            fd = self._opener(path)
            self._open[path] = fd
            if len(self._open) > self._open_max:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(path)
        self._last = path, fd
        return fd

    def opened(self, path: bytes) -> int:
        """A descriptor of `path` that is the caller's to close. Raises as `fd`."""
        return self._opener(path)

    def close(self) -> None:
        """Close every descriptor."""
        self._last = b"", -1
        while self._open:
            os.close(self._open.popitem()[1])


class Walk:
    """`open_unswappable`, begun at a parent that was walked to before. `close` when done."""

    def __init__(self) -> None:
        self._parents = Dirs(open_unswappable, _PARENTS_MAX)

    def open(self, path: bytes) -> int:
        """As `open_unswappable`."""
        parent, name = split(path)
        if not is_absolute(path):
            return open_unswappable(path)
        parent_fd = self._parents.fd(parent)
        try:
            child = fsops.open_subdir(parent_fd, name)
        except OSError as error:
            if error.errno in _MAYBE_ROOTS_LINK:
                return open_unswappable(path)
            raise
        reason = _unsafe_step(os.fstat(parent_fd), os.fstat(child))
        if reason:
            os.close(child)
            raise _refused(path, reason)
        return child

    def close(self) -> None:
        """Let go of the parents."""
        self._parents.close()


def open_unswappable(path: bytes) -> int:
    """A descriptor of the directory `path`, for root: no step can be led astray by others.

    From a directory of root's (that others cannot write, or a sticky one) any step is safe;
    from a user's directory only into one of the same user; from one that a group or everybody
    can write, none. A symlink is followed only if it is root's and nobody else could have put
    it there. The rule of systemd-tmpfiles(8).

    Raises:
        PermissionRefusedError: a step is not safe; nothing below it was opened.
        OSError: a component cannot be opened (ELOOP or ENOTDIR: a symlink of somebody else's).
    """
    return _walked(path, _unsafe_step)


def open_roots_alone(path: bytes) -> int:
    """A descriptor of the directory `path`, which root alone can write, lead to and swap.

    Raises:
        PermissionRefusedError: somebody else can; nothing in it was read.
        OSError: a component cannot be opened.
    """
    fd = _walked(path, _not_roots)
    if not is_roots_alone(os.fstat(fd)):
        os.close(fd)
        raise _refused(path, "others than root can write it")
    return fd


def is_roots_alone(info: os.stat_result) -> bool:
    """Whether what stat saw is a directory that root owns and nobody else can write."""
    others = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(info.st_mode) and info.st_uid == 0 and not others


def _walked(path: bytes, refusal: Callable[[os.stat_result, os.stat_result], str]) -> int:
    """Walk to `path` from the top; `refusal` says of a directory and the next one what is wrong."""
    fd = fsops.open_dir(b"/")
    walked = b""
    for name in _components(_resolved(os.path.join(os.getcwdb(), path))):
        walked += b"/" + name
        try:
            child = fsops.open_subdir(fd, name)
            reason = "" if name == b".." else refusal(os.fstat(fd), os.fstat(child))
        finally:
            os.close(fd)
        fd = child
        if reason:
            os.close(fd)
            raise _refused(walked, reason)
    return fd


def _resolved(path: bytes) -> bytes:
    """`path` with those symlinks resolved that are root's, where only root can make names.

    Those stay what they are; the walk fails on any other.
    """
    left, current, links = _components(path)[::-1], b"", 0
    while left:
        there = current + b"/" + left.pop()
        target = _roots_link(current or b"/", there)
        if target is None:
            current = there
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        left += _components(target)[::-1]
        current = b"" if target.startswith(b"/") else current
    return current


def _components(path: bytes) -> list[bytes]:
    """The names in `path`; `..` stays, since what stands before it may be a symlink."""
    return [name for name in path.split(b"/") if name not in {b"", b"."}]


def _roots_link(directory: bytes, path: bytes) -> bytes | None:
    info = os.lstat(path)
    if not stat.S_ISLNK(info.st_mode) or info.st_uid != 0:
        return None
    return os.readlink(path) if _only_root_names(os.lstat(directory)) else None


def _refused(path: bytes, reason: str) -> PermissionRefusedError:
    return PermissionRefusedError(
        f"{shown(path)}: {reason}; nothing in it was touched",
        hint="run finalize as the owner of the files (--user), not as root",
    )


def _unsafe_step(parent: os.stat_result, child: os.stat_result) -> str:
    """Why the step from `parent` to `child` could have been swapped by somebody; "" if not."""
    open_to_others = parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if open_to_others and not parent.st_mode & stat.S_ISVTX:
        return "stands in a directory that others can write"
    if parent.st_uid not in {0, child.st_uid}:
        return f"belongs to uid {child.st_uid} in a directory of uid {parent.st_uid}"
    return ""


def _not_roots(parent: os.stat_result, child: os.stat_result) -> str:
    """Why the step from `parent` to `child` is not root's alone to make; "" if it is."""
    if child.st_uid != 0:
        return f"belongs to uid {child.st_uid}"
    return "" if _only_root_names(parent) else "stands in a directory that others can write"


def _only_root_names(info: os.stat_result) -> bool:
    """Whether in this directory nobody else can take away or swap a name of root's."""
    return info.st_uid == 0 and (is_roots_alone(info) or bool(info.st_mode & stat.S_ISVTX))
