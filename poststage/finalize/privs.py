"""Root becomes the owner: one forked worker that drops everything before it reads anything.

State files are written by users. So root opens STATEDIR itself and nothing below it; the
worker gives up groups, gid and uid for good, and only then the walk begins. Nothing can be
gained by a forged record that its owner could not do anyway.
"""

import ctypes
import errno
import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from msgspec import Struct

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, UsageError
from poststage.finalize.dirs import open_roots_alone
from poststage.names import shown

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # prctl(2)


class Owner(Struct, frozen=True):
    """Whom the worker becomes; `trusted` root stays root and restores other owners."""

    uid: int
    gid: int
    name: str
    trusted: bool = False


def owner_of(state_dir: bytes, user: str | None, trusted_dirs: tuple[str, ...]) -> Owner | None:
    """Whom to become for `state_dir`; None where this process is not root and stays who it is.

    `user` (name or number, the scheduler's word) counts before the directory's own owner;
    never a state file.

    Raises:
        PermissionRefusedError: the owner is root and the directory is not root's alone, or
            nothing tells which groups the owner is in; or this is not root, and `user`
            somebody else.
        UsageError: no such user, or `state_dir` cannot be opened.
    """
    if os.geteuid() != 0:
        _require_self(user)
        return None
    info = _stat(state_dir)
    owner = _account(user) if user is not None else _of_directory(state_dir, info)
    if owner.uid != 0:
        return owner
    if info.st_uid == 0 and (_named(state_dir, trusted_dirs) or only_root_writes(state_dir)):
        return Owner(0, 0, "root", trusted=True)
    raise PermissionRefusedError(
        f"{shown(state_dir)}: would be finalized as root, and others than root can write it or a "
        "directory above it; nothing was read",
        hint="name the job's owner with --user, or list it under trusted_state_dirs",
    )


def only_root_writes(path: bytes) -> bool:
    """Whether `path` and every directory on the way to it belong to root and nobody else can
    write or swap them (a sticky directory keeps others from renaming what is root's)."""
    try:
        os.close(open_roots_alone(path))
    except (PermissionRefusedError, OSError):
        return False
    return True


def become(owner: Owner) -> None:
    """Give up root for good: groups, gid and uid, real, effective and saved.

    Nor can the owner trace this process or read its memory, which was root's.

    Raises:
        PermissionRefusedError: the process still could get its rights back.
    """
    os.setgroups(sorted(groups_of(owner.uid) | {owner.gid}))
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    ids = os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (owner.gid,) * 3
    if ids or _can_return():
        raise PermissionRefusedError(f"cannot become uid {owner.uid} for good; nothing was read")


def _can_return() -> bool:
    """Whether a capability that was kept gives root back."""
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return False
    return True


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """For the block, root makes names with no more than the rights of `uid`, and they are its.

    setfsuid(2), setfsgid(2): of this thread alone. PermissionError if it cannot.
    """
    before = _set_fs_ids(uid, gid)
    try:
        if _set_fs_ids(-1, -1) != (uid, gid):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        yield
    finally:
        _set_fs_ids(*before)


def _set_fs_ids(uid: int, gid: int) -> tuple[int, int]:
    """Set both (-1 is no id and changes nothing); what they were."""
    before_gid = _LIBC.setfsgid(ctypes.c_uint32(gid))
    return _LIBC.setfsuid(ctypes.c_uint32(uid)), before_gid


def die_with_parent(number: int) -> None:
    """Get the signal `number` when the parent ends, prctl(2); lost when ids are changed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


@lru_cache(maxsize=1024)
def groups_of(uid: int) -> frozenset[int]:
    """The groups that `uid` is in by this machine's accounts.

    Of a user without an account that is the group of the same number, if no group of this
    machine has it: a user's private group, where the account is known elsewhere.
    """
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return frozenset() if _is_group(uid) else frozenset({uid})
    return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))


def _is_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True


def _of_directory(state_dir: bytes, info: os.stat_result) -> Owner:
    """The owner of STATEDIR, with a group that is the owner's.

    The directory's own group is no witness: in a setgid directory anybody gets its group.
    """
    groups = groups_of(info.st_uid)
    if not groups:
        raise PermissionRefusedError(
            f"{shown(state_dir)}: belongs to uid {info.st_uid}, which has no account here, so "
            "nobody can tell its groups; nothing was read",
            hint="run finalize as that user, or where the account is known",
        )
    try:
        gid = pwd.getpwuid(info.st_uid).pw_gid
    except KeyError:
        gid = info.st_uid
    return Owner(info.st_uid, info.st_gid if info.st_gid in groups else gid, _name(info.st_uid))


def _stat(state_dir: bytes) -> os.stat_result:
    try:
        fd = fsops.open_dir(state_dir)
    except OSError as error:
        raise UsageError(
            f"{shown(state_dir)}: is not a directory that can be opened: {error.strerror}",
            hint="--dir names the directory that the job's agents wrote state files to",
        ) from error
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _named(state_dir: bytes, trusted_dirs: tuple[str, ...]) -> bool:
    """By its name as given: what a symlink makes of another name is its owner's word."""
    path = os.path.abspath(state_dir)
    return any(path == os.path.abspath(os.fsencode(one)) for one in trusted_dirs)


def _require_self(user: str | None) -> None:
    if user is None or user == str(os.geteuid()) or _account(user).uid == os.geteuid():
        return
    raise PermissionRefusedError(f"user {shown(user)}: only root can become it; nothing was read")


def _account(user: str) -> Owner:
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError) as error:
        raise UsageError(f"user {shown(user)}: is not known here; nothing was read") from error
    return Owner(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
