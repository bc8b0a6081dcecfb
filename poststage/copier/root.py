"""A daemon's root directory: its own, with a lock, an identity and a queue in it."""

import errno
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from poststage import names
from poststage.durable import atomic, fsops, lock
from poststage.errors import PermissionRefusedError, RunAgainError, UsageError

LOCK = "lock"
LOG = b"log"
QUEUE = b"queue"
SOCKET = b"socket"
STARTING = "starting"
_HOLDER = b"daemon.json"
_ID = b"id"
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})  # either is rmdir's answer
_PATIENCE_S = 0.5  # somebody who only looks whether the root is free holds its lock for an instant


class Holder(Struct, frozen=True):
    """Who has, or had last, the lock of a root."""

    pid: int
    host: str
    since_ns: int

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_ns / 1e9))
        return f"pid {self.pid} on {names.shown(self.host)} since {since}"


def open_root(root: Path) -> int:
    """A descriptor of the directory `root`, made with mode 0700 if it is missing.

    Raises:
        PermissionRefusedError: it is not this user's alone to change, or a symbolic link.
        UsageError: it cannot be made or opened.
    """
    shown = names.shown(os.fsencode(root))
    try:
        parent_fd = fsops.open_dir(os.fsencode(root.parent))
        try:
            fsops.make_dir(parent_fd, os.fsencode(root.name), 0o700)
            root_fd = fsops.open_subdir(parent_fd, os.fsencode(root.name))
        finally:
            os.close(parent_fd)
    except OSError as error:
        raise UsageError(
            f"root {shown}: cannot be made or opened: {error.strerror}",
            hint="it is a directory, not a link, below one that exists",
        ) from error
    info = os.fstat(root_fd)
    if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o022:
        os.close(root_fd)
        raise PermissionRefusedError(
            f"root {shown}: uid {info.st_uid}, mode {stat.S_IMODE(info.st_mode):04o}: "
            "somebody else can change it; nothing was started",
            hint="choose a directory that is yours alone with --root",
        )
    return root_fd


@contextmanager
def locked(root: Path, root_fd: int) -> Iterator[None]:
    """Hold the root's lock while the block runs; RunAgainError says who has it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(root / LOCK, timeout_s=_PATIENCE_S, what="root"))
        except RunAgainError as error:
            who = holder(root_fd)
            raise RunAgainError(
                f"root {names.shown(os.fsencode(root))}: a daemon has it, "
                f"{who or 'just starting'}; nothing was started",
                hint="use it, or stop it first",
            ) from error
        except OSError as error:
            raise UsageError(
                f"root {names.shown(os.fsencode(root))}: cannot be locked: {error.strerror}; "
                "nothing was started",
                hint="choose a directory on a file system with flock(2)",
            ) from error
        yield


def is_free(root: Path, *, timeout_s: float = 0) -> bool:
    """Whether no daemon has the root, or has let go of it within `timeout_s` seconds."""
    try:
        with lock.held(root / LOCK, timeout_s=timeout_s, what="root"):
            return True
    except RunAgainError:
        return False


def write_holder(root_fd: int) -> Holder:
    """Record this process as the one that has the root."""
    mine = Holder(os.getpid(), socket.gethostname(), time.time_ns())
    atomic.replace_file(root_fd, _HOLDER, msgspec.json.encode(mine) + b"\n", mode=0o644)
    return mine


def holder(root_fd: int) -> Holder | None:
    """Who has recorded itself last; None if that cannot be read."""
    try:
        return msgspec.json.decode(_read(root_fd, _HOLDER), type=Holder)
    except (OSError, ValueError):
        return None


def identity(root_fd: int) -> str:
    """The root's own id: 8 hex digits, made once; every handle begins with it."""
    try:
        return msgspec.json.decode(_read(root_fd, _ID), type=str)
    except FileNotFoundError:
        made = secrets.token_hex(4)
        atomic.replace_file(root_fd, _ID, msgspec.json.encode(made) + b"\n")
        return made


def open_queue(root_fd: int) -> int:
    """The directory of the queue's journals, made if it is missing."""
    if fsops.make_dir(root_fd, QUEUE, 0o700):
        fsops.sync(root_fd)
    return fsops.open_subdir(root_fd, QUEUE)


def remove_if_empty(folder_fd: int, name: bytes) -> bool:
    """Remove the root `name` if no transfer is left in its queue; whether something was removed.

    The queue goes first, so a daemon that makes a transfer meanwhile keeps its root, or is
    told that its queue cannot be written. What no daemon makes stays. OSError passes.
    """
    root_fd = fsops.open_subdir(folder_fd, name)
    try:
        if not _removed(root_fd, QUEUE):
            return False
        for made in (SOCKET, _HOLDER, _ID, LOG, os.fsencode(STARTING), os.fsencode(LOCK)):
            with suppress(FileNotFoundError):
                fsops.unlink(root_fd, made)
    finally:
        os.close(root_fd)
    _removed(folder_fd, name)
    return True


def _removed(dir_fd: int, name: bytes) -> bool:
    try:
        fsops.remove_dir(dir_fd, name)
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True


def _read(root_fd: int, name: bytes) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
