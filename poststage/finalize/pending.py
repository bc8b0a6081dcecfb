"""One pending state file, as little of it as has to be remembered while its transfer runs."""

import os
import socket

from msgspec import Struct

from poststage.durable import fsops, lock
from poststage.errors import StateFileError
from poststage.model import Head, Kind, State
from poststage.names import shown
from poststage.statefile.anyone import read_any
from poststage.statefile.entries import Entries


class Pending(Struct, frozen=True):
    """A state file that is not set aside: where it is, and how to ask for its transfer."""

    directory: bytes
    """The directory that it lies in, relative to STATEDIR; names its dataset."""
    name: bytes
    path: bytes
    """For messages: STATEDIR, directory and name."""
    backend: str = ""
    tag: str = ""
    handle: str | None = None
    recorded: bool = False
    started: bool = False
    cancelled: bool = False
    """Somebody has cancelled it, or it was to end with its job."""
    moves_files: bool = False
    agent_alive: bool = False


class Loaded(Struct, frozen=True):
    """What a state file says, with its `Pending` filled in. `state` None: nothing whole in it."""

    pending: Pending
    state: State | None


def load(state_dir_fd: int, pending: Pending, *, trusted_uid: int | None = None) -> Loaded:
    """Read one state file; `state_dir_fd` is the directory that it lies in.

    Raises:
        StateFileError: damaged, not a regular file, or not of `trusted_uid`.
        OSError: it cannot be opened or read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(pending.name, flags, dir_fd=state_dir_fd)
    try:
        # Looked at first: an agent that lets go of it after that has recorded more than is read.
        held = lock.is_held(fd)
        info = os.fstat(fd)
        if trusted_uid is not None and info.st_uid != trusted_uid:
            raise StateFileError(
                f"{shown(pending.path)}: belongs to uid {info.st_uid} in a directory that only "
                f"uid {trusted_uid} can write; it was not read",
            )
        state = read_any(state_dir_fd, fd, pending.name, pending.path, info)
        return Loaded(_filled(pending, state, alive=held and fsops.is_regular(info)), state)
    finally:
        os.close(fd)


def _filled(pending: Pending, state: State | None, *, alive: bool) -> Pending:
    if state is None:
        return Pending(pending.directory, pending.name, pending.path, agent_alive=alive)
    return Pending(
        pending.directory,
        pending.name,
        pending.path,
        state.head.backend,
        state.head.id,
        state.handle,
        state.recorded,
        state.started,
        state.cancelled or (state.head.ends_with_job and _is_gone(state.head)),
        _moves_files(state),
        alive,
    )


def _is_gone(head: Head) -> bool:
    """Whether a job has ended: it has not while the process that recorded it is alive here."""
    if head.pid <= 0 or head.host != socket.gethostname():
        return True
    try:
        os.kill(head.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _moves_files(state: State) -> bool:
    """Whether a file of it has no recorded verdict."""
    entries, ended = state.entries, state.ended
    if isinstance(entries, Entries) and not ended:
        return len(entries.others) < len(entries)
    return any(
        index not in ended and entry.kind is Kind.FILE for index, entry in enumerate(entries)
    )
