"""The directories that must be there first: STATEDIR's own, and the destinations'."""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from poststage.durable import fsops

_OWNER_RWX = 0o700


def make_path(path: bytes, *, mode: int = 0o777) -> list[bytes]:
    """Make the directory `path` and those above it that are missing, less the umask.

    Only `path` itself gets `mode`. Safe beside others that do the same. Returns the
    directories in which a name was made, top first: none is durable before `sync_dirs`.

    Raises:
        OSError: one of them cannot be made.
    """
    pending, changed = [path], []
    lacked: set[bytes] = set()
    while pending:
        current = pending[-1]
        try:
            made = fsops.make_dir(None, current, mode if current == path else 0o777)
        except FileNotFoundError:
            if current in lacked:  # what is above it is there by now: nothing can be made in it
                raise
            lacked.add(current)
            pending.append(os.path.dirname(current))
            continue
        if made:
            changed.append(os.path.dirname(current))
        elif not stat.S_ISDIR(os.stat(current).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), current)
        pending.pop()
    return changed


def make_destinations(recorded: Iterable[bytes], parents: Iterable[bytes]) -> list[bytes]:
    """Make what is missing of the destination directories; what `make_path` returns, of all.

    The `recorded` ones are private until the finalizer gives them their recorded modes;
    one that is there and lacks u+rwx gets it, if it is ours. `parents` that are not
    recorded get what the umask leaves.

    Raises:
        OSError: one cannot be made, or something else has its name.
    """
    changed: dict[bytes, None] = {}
    private = frozenset(recorded)
    for path in sorted(private):
        new = make_path(path, mode=_OWNER_RWX)
        changed.update(dict.fromkeys(new))
        if not new:
            _open_up(path)
    for path in sorted(set(parents) - private):
        changed.update(dict.fromkeys(make_path(path)))
    return list(changed)


def sync_dirs(paths: Iterable[bytes]) -> None:
    """Make the names in these directories durable.

    Raises:
        OSError: one cannot be opened or synced.
    """
    for path in paths:
        fd = fsops.open_dir(path)
        try:
            fsops.sync(fd)
        finally:
            os.close(fd)


def sync_readable(path: bytes) -> None:
    """`sync_dirs` for a directory that another process may have changed for us.

    One that we may not open (mode 0711, say) is its owner's affair.
    """
    with suppress(PermissionError):
        sync_dirs([path])


def _open_up(path: bytes) -> None:
    """Let the owner write in the existing directory `path`, if we are its owner."""
    info = os.lstat(path)
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid != os.geteuid() or mode & _OWNER_RWX == _OWNER_RWX:
        return
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fsops.set_mode(fd, mode | _OWNER_RWX)
    finally:
        os.close(fd)
