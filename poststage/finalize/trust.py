"""What root may do in a directory that is not root's alone, on the word of its own record.

There somebody can put any file under any name between two looks. So what root does to a
file there is no more than the file's owner could do, unless the file is proven to be the
one that the backend wrote; and what root makes there is its owner's from the start.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from poststage.errors import PermissionRefusedError
from poststage.finalize.dirs import is_roots_alone
from poststage.finalize.privs import acting_as, groups_of
from poststage.model import Meta

_HINT = "run finalize as the owner of the files (--user), or record checksums (--checksum)"


def check_file(now: Meta, wanted: Meta, directory: os.stat_result, *, proven: bool) -> None:
    """Refuse to give a file with the attributes `now` those of `wanted`, unless it is safe.

    `directory` holds its name. `proven`: its contents, or an mtime that no user can set, are
    the backend's.

    Raises:
        PermissionRefusedError: it may be another file of root's that somebody moved there, or
            the change is one that its owner could not make.
    """
    if is_roots_alone(directory):
        return
    if now.uid == 0 and not proven:
        raise _refused("is root's, in a directory where others can put it; nothing proves it")
    if now.uid != 0:
        _check_own(now.uid, now.gid, wanted)


def check_directory(now: os.stat_result, wanted: Meta, parent: os.stat_result) -> None:
    """As `check_file`, for a directory, of which nothing can be proven."""
    if is_roots_alone(parent):
        return
    _check_own(now.st_uid, now.st_gid, wanted)


def check_symlink(now: os.stat_result, wanted: Meta, directory: os.stat_result) -> None:
    """As `check_file`, for a symlink, which is made as its owner where others can swap it."""
    if not is_roots_alone(directory):
        _check_own(now.st_uid, now.st_gid, wanted)


@contextmanager
def making_for(wanted: Meta, directory: os.stat_result) -> Iterator[None]:
    """What root makes in the block is `wanted`'s from the start, where others can swap it.

    There it could not be told from something else, and so not be given away, afterwards.
    """
    if is_roots_alone(directory):
        yield
        return
    with acting_as(wanted.uid, wanted.gid):
        yield


def check_link(origin: os.stat_result, directory: os.stat_result) -> None:
    """Refuse a further name in `directory` for a file that stands in `origin`, unless it is safe.

    Raises:
        PermissionRefusedError: who can swap the file is not who owns the other directory.
    """
    if not is_roots_alone(origin) and not _same_owner(origin, directory):
        raise _refused("would get a name that those who can swap it could not give it")


def _same_owner(one: os.stat_result, other: os.stat_result) -> bool:
    others = other.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return one.st_uid == other.st_uid and not others


def _check_own(uid: int, gid: int, wanted: Meta) -> None:
    """Refuse what the owner `uid` could not do to its own file."""
    if uid != wanted.uid:
        raise _refused(f"belongs to uid {uid}, not to root or uid {wanted.uid}")
    special = wanted.mode & stat.S_ISGID
    if (gid != wanted.gid or special) and wanted.gid not in groups_of(uid):
        raise _refused(f"belongs to uid {uid}, who is not in group {wanted.gid}")


def _refused(fact: str) -> PermissionRefusedError:
    return PermissionRefusedError(f"{fact}; it is kept untouched", hint=_HINT)
