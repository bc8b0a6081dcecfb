"""Which STATEDIRs have something pending: symlinks in the site's state root.

The state root is a directory like /tmp (mode 1777) that compute nodes and the post-stage node
see. A registration is a symlink: it exists whole or not at all, nobody but its owner (or root)
can change it there, and it is only ever read, never followed.
"""

import os
import stat
import time
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from poststage.durable import fsops
from poststage.errors import RunAgainError, UsageError
from poststage.names import shown, to_text

_JOB_MAX = 150
_SQUATTED_MAX = 16
_STALE_S = 24 * 3600.0


class Registration(Struct, frozen=True):
    """One STATEDIR that a job's agents recorded in."""

    name: bytes
    """The symlink's name in the state root."""
    job: str
    state_dir: bytes
    uid: int
    """Who registered it; the kernel's word, not the file's."""
    mtime_ns: int


def register(root: Path, job: str, state_dir: Path) -> None:
    """Note that `job` records in `state_dir`; known for good when this returns.

    Costs one call where another rank was first. Call it when the state file is there.

    Raises:
        RunAgainError: it cannot be noted, so nobody would look there.
    """
    target = os.path.abspath(os.fsencode(state_dir))
    try:
        fd = fsops.open_dir(os.fsencode(root))
        try:
            if _made(fd, _stem(job, target), target):
                fsops.sync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise RunAgainError(
            f"state root {shown(os.fsencode(root))}: {shown(target)} cannot be registered: "
            f"{error.strerror}; nothing was started",
            hint="site.state_root is a directory with mode 1777 that every node sees",
        ) from error


def registered(root: Path, *, job: str = "", uid: int | None = None) -> list[Registration]:
    """What is registered: of `job` alone, of user `uid` alone, or all of it; by name.

    Raises:
        UsageError: the state root cannot be read.
    """
    try:
        fd = fsops.open_dir(os.fsencode(root))
    except OSError as error:
        raise UsageError(
            f"state root {shown(os.fsencode(root))}: cannot be opened: {error.strerror}",
            hint="site.state_root names it; or give --dir",
        ) from error
    try:
        found = [_read(fd, os.fsencode(name)) for name in sorted(os.listdir(fd))]
    finally:
        os.close(fd)
    return [
        one
        for one in found
        if one is not None and (not job or one.job == job) and uid in {None, one.uid}
    ]


def drop(root: Path, registration: Registration, *, job_gone: bool) -> bool:
    """Forget `registration`, of which nothing is pending, unless its job may record again.

    That is when nobody said that the job is gone and it registered within a day. Whether it
    was forgotten; what changed since it was read stays.
    """
    old = time.time_ns() - registration.mtime_ns > _STALE_S * 1e9
    if not job_gone and not old:
        return False
    fd = fsops.open_dir(os.fsencode(root))
    try:
        if _read(fd, registration.name) != registration:
            return False
        fsops.unlink(fd, registration.name)
    finally:
        os.close(fd)
    return True


def _stem(job: str, target: bytes) -> bytes:
    text = to_text(job.encode("utf-8", "surrogateescape")).replace("/", "%2F")[:_JOB_MAX]
    return f"{text}@{blake2b(target, digest_size=8).hexdigest()}".encode("ascii")


def _made(fd: int, stem: bytes, target: bytes) -> bool:
    """Whether the symlink was made; False if this user has it already, then its time is now.

    Somebody else's name in the way costs a suffix, up to a few.
    """
    for attempt in range(_SQUATTED_MAX):
        name = stem + (b".%d" % attempt if attempt else b"")
        try:
            fsops.symlink(target, fd, name)
        except FileExistsError:
            there = _read(fd, name)
            if there is not None and (there.uid, there.state_dir) == (os.geteuid(), target):
                now = time.time_ns()
                fsops.set_link_times(fd, name, now, now)
                return False
            continue
        return True
    raise FileExistsError(0, "its names are all taken by others")


def _read(fd: int, name: bytes) -> Registration | None:
    """The registration `name`; None for what is none, or has gone."""
    try:
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            return None
        target = os.readlink(name, dir_fd=fd)
    except OSError:
        return None
    job, at, _ = name.rpartition(b"@")
    if not at or not target.startswith(b"/"):
        return None
    return Registration(name, job.decode("ascii", "replace"), target, info.st_uid, info.st_mtime_ns)
