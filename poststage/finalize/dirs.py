"""Open directories, each once: the walk to a destination, and a bounded cache of it."""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError
from poststage.names import shown

_OPEN_MAX = 256  # descriptors; well below the usual soft limit of 1024


class Dirs:
    """Directory path → descriptor. Not thread safe; `close` when done."""

    def __init__(self, opener: Callable[[bytes], int] = fsops.open_dir) -> None:
        self._opener = opener
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def fd(self, path: bytes) -> int:
        """A descriptor of `path`, valid until `_OPEN_MAX` others were asked for.

        Raises:
            OSError: it cannot be opened (not there, no directory, no permission).
            PermissionRefusedError: the walk for root met a place that others could swap.
        """
        fd = self._open.get(path)
        if fd is None:
            fd = self._opener(path)
            self._open[path] = fd
            if len(self._open) > _OPEN_MAX:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(path)
        return fd

    def close(self) -> None:
        """Close every descriptor."""
        while self._open:
            os.close(self._open.popitem()[1])


def open_unswappable(path: bytes) -> int:
    """A descriptor of the absolute `path`, for root: no step can be led astray by another user.

    No component is a symlink. From a directory of root's (that others cannot write, or a
    sticky one) any step is safe; from a user's directory only into one of the same user;
    from one that a group or everybody can write, none. The rule of systemd-tmpfiles(8).

    Raises:
        PermissionRefusedError: a step is not safe; nothing below it was opened.
        OSError: a component cannot be opened.
    """
    fd = fsops.open_dir(b"/")
    walked = b""
    for name in path.strip(b"/").split(b"/") if path.strip(b"/") else []:
        walked += b"/" + name
        try:
            child = fsops.open_subdir(fd, name)
            refused = _unsafe_step(os.fstat(fd), os.fstat(child))
        finally:
            os.close(fd)
        fd = child
        if refused:
            os.close(fd)
            raise PermissionRefusedError(
                f"{shown(walked)}: {refused}; nothing below it was touched",
                hint="run finalize as the owner of the files (--user), not as root",
            )
    return fd


def _unsafe_step(parent: os.stat_result, child: os.stat_result) -> str:
    """Why the step from `parent` to `child` could have been swapped by somebody; "" if not."""
    open_to_others = parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if open_to_others and not parent.st_mode & stat.S_ISVTX:
        return "stands in a directory that others can write"
    if parent.st_uid not in {0, child.st_uid}:
        return f"belongs to uid {child.st_uid} in a directory of uid {parent.st_uid}"
    return ""
