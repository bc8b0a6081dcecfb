"""Root becomes the owner: one forked worker that drops everything before it reads anything.

State files are written by users. So root opens STATEDIR itself and nothing below it; the
worker gives up groups, gid and uid for good, and only then the walk begins. Nothing can be
gained by a forged record that its owner could not do anyway.
"""

import os
import pwd
import stat

from msgspec import Struct

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, UsageError
from poststage.names import shown


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
        PermissionRefusedError: the owner is root and the directory is not root's alone.
        UsageError: no such user, or `state_dir` cannot be opened.
    """
    if os.geteuid() != 0:
        return None
    info = _stat(state_dir)
    if user is not None:
        owner = _account(user)
    else:
        owner = Owner(info.st_uid, info.st_gid, _name(info.st_uid))
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
    """Whether `path` and every directory above it belong to root and nobody else can write or
    swap them (a sticky directory keeps others from renaming what is root's)."""
    current = os.path.realpath(path)
    first = True
    while True:
        info = os.stat(current)
        others = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if info.st_uid != 0 or (others and (first or not info.st_mode & stat.S_ISVTX)):
            return False
        if current == b"/":
            return True
        current, first = os.path.dirname(current), False


def become(owner: Owner) -> None:
    """Give up root for good: groups, gid and uid, real, effective and saved.

    Raises:
        PermissionRefusedError: the process still could get its rights back.
    """
    try:
        groups = os.getgrouplist(owner.name, owner.gid)
    except (KeyError, OSError):
        groups = [owner.gid]
    os.setgroups(groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (owner.gid,) * 3:
        raise PermissionRefusedError(f"cannot become uid {owner.uid}; nothing was read")


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
    real = os.path.realpath(state_dir)
    return any(real == os.path.realpath(os.fsencode(one)) for one in trusted_dirs)


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
