"""Two files for one name: both are kept, the newer takes the name.

The older becomes `name~YYYYMMDD-HHMMSS~conflict~` (the time is when the transfer was
created), so a run that was cut off finds its own copy again.
"""

import errno
import os

from poststage import names
from poststage.durable import fsops
from poststage.finalize.seen import facts_of, is_prior
from poststage.model import Identity

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
    fsops.sync(dir_fd)  # the further name is durable before the one that it had goes
    if not fsops.exchange(dir_fd, temp, name):
        fsops.replace(dir_fd, temp, name)
        return aside
    return set_aside(dir_fd, temp, name, stamp)


def replace_prior(dir_fd: int, temp: bytes, name: bytes, prior: Identity) -> None:
    """Give `temp` the name of the recorded file `prior`.

    Where names can be exchanged, the temp name then holds what stood there, which is looked
    at (`drop_prior`) before anything is deleted. Elsewhere it is replaced by rename(2); what
    takes the name between the look and the rename is lost.

    Raises:
        FileExistsError: something else than `prior` stands there; nothing was touched.
        FileNotFoundError: nothing stands there any more; nothing was touched.
    """
    there = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    if not is_prior(facts_of(there), prior):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if not fsops.exchange(dir_fd, temp, name):
        fsops.replace(dir_fd, temp, name)


def drop_prior(dir_fd: int, temp: bytes, name: bytes, prior: Identity, stamp: str) -> bytes:
    """Delete what `replace_prior` left under the temp name, if it is `prior`.

    Something else, which took the name in that moment, gets a conflict name. That name; empty
    for none. The new name is durable before this is called.
    """
    left = fsops.facts(dir_fd, temp)
    if left is None:
        return b""
    if not is_prior(facts_of(left), prior):
        return set_aside(dir_fd, temp, name, stamp)
    fsops.unlink(dir_fd, temp)
    return b""


def set_aside(dir_fd: int, temp: bytes, name: bytes, stamp: str) -> bytes:
    """The temp name holds what stood at the destination: it gets, or has, a conflict name."""
    displaced = fsops.facts(dir_fd, temp)
    for attempt in range(_ATTEMPTS):
        aside = names.conflict_name(name, stamp, attempt)
        there = fsops.facts(dir_fd, aside)
        if there is None:
            break
        if displaced is not None and there.st_ino == displaced.st_ino:
            fsops.sync(dir_fd)  # no order of writing back may have it that only the unlink came
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
