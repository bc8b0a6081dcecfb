"""Two files for one name: both are kept, the newer takes the name.

The older becomes `name~YYYYMMDD-HHMMSS~conflict~` (the time is when the transfer was
created), so a run that was cut off finds its own copy again.
"""

import errno

from poststage import names
from poststage.durable import fsops

_ATTEMPTS = 100


def step_aside(dir_fd: int, temp: bytes, name: bytes, stamp: str) -> bytes:
    """Give `temp` the first free conflict name of `name`; that name.

    Raises:
        FileExistsError: a hundred copies are there already; nothing was touched.
    """
    for attempt in range(_ATTEMPTS):
        aside = names.conflict_name(name, stamp, attempt)
        try:
            fsops.publish(dir_fd, temp, aside)
        except FileExistsError:
            continue
        return aside
    raise FileExistsError(errno.EEXIST, "no free conflict name")


def take_name(dir_fd: int, temp: bytes, name: bytes, stamp: str) -> bytes:
    """Give `temp` the name `name`; what stands there keeps all its bytes under a conflict name.

    A further name for what stands there, an atomic exchange, then the temp name goes. Nothing
    is ever without a name, and whatever took the destination in between is kept as well.
    """
    aside = _second_name(dir_fd, name, stamp)
    if aside is None:  # no hard links here: the name is free for a moment
        aside = step_aside(dir_fd, name, name, stamp)
        fsops.publish(dir_fd, temp, name)
        return aside
    if not fsops.exchange(dir_fd, temp, name):
        fsops.replace(dir_fd, temp, name)
        return aside
    return set_aside(dir_fd, temp, name, stamp)


def set_aside(dir_fd: int, temp: bytes, name: bytes, stamp: str) -> bytes:
    """The temp name holds what stood at the destination: it gets, or has, a conflict name."""
    displaced = fsops.facts(dir_fd, temp)
    for attempt in range(_ATTEMPTS):
        aside = names.conflict_name(name, stamp, attempt)
        there = fsops.facts(dir_fd, aside)
        if there is None:
            break
        if displaced is not None and there.st_ino == displaced.st_ino:
            fsops.unlink(dir_fd, temp)
            return aside
    return step_aside(dir_fd, temp, name, stamp)


def _second_name(dir_fd: int, name: bytes, stamp: str) -> bytes | None:
    """A conflict name that is the same file as `name`, made if there is none; None: no links."""
    standing = fsops.facts(dir_fd, name)
    for attempt in range(_ATTEMPTS):
        aside = names.conflict_name(name, stamp, attempt)
        there = fsops.facts(dir_fd, aside)
        if there is not None and standing is not None and there.st_ino == standing.st_ino:
            return aside
        if there is None:
            return aside if fsops.try_link(dir_fd, name, aside) else None
    raise FileExistsError(errno.EEXIST, "no free conflict name")
