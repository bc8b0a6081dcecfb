"""Whether a dataset is whole: every rank accounted for, every file of it final."""

import os
from collections.abc import Iterator

from msgspec import Struct

from poststage import names
from poststage.errors import ExitCode, PoststageError
from poststage.model import State
from poststage.scr.files import Part
from poststage.statefile.anyone import read_any
from poststage.statefile.layout import FOREIGN_DONE_SUFFIX, beside

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Missing(Struct, frozen=True):
    """Why one rank is not accounted for."""

    rank: int
    reason: str
    """Empty: its files say why, each for itself."""
    code: ExitCode = ExitCode.NEEDS_PERSON
    absent: bool = False
    """Whether there is no state file of it."""


ABSENT = "its state file is missing: nobody knows what became of its files"


def state_name(rank: int) -> bytes:
    """What SCR calls the state file of a rank."""
    return b"rank_%d.state_file" % rank


def unaccounted(
    dir_fd: int, part: Part, prefixes: list[bytes], *, ready: bool
) -> Iterator[Missing]:
    """Each rank that is not known to be whole, in order; `dir_fd` is the dataset's directory.

    `prefixes` are the ways in which SCR may have named the directory of its files. With
    `ready`, a dry run has found that what is open would be published.
    """
    for rank in range(part.ranks):
        try:
            reason = _missing(dir_fd, rank, part.files[rank], prefixes, ready=ready)
        except PoststageError as error:
            yield Missing(rank, error.message, error.exit_code)
            continue
        except OSError as error:
            code = ExitCode.PERMISSION if isinstance(error, PermissionError) else ExitCode.RUN_AGAIN
            yield Missing(rank, f"its state file cannot be read: {error.strerror}", code)
            continue
        if reason is not None:
            yield Missing(rank, reason, absent=reason == ABSENT)


def _missing(
    dir_fd: int, rank: int, files: frozenset[bytes], prefixes: list[bytes], *, ready: bool
) -> str | None:
    """Why rank `rank` is not accounted for; None if it is."""
    done = _read(dir_fd, beside(state_name(rank), FOREIGN_DONE_SUFFIX))
    state = done or _read(dir_fd, state_name(rank))
    if state is None:
        return ABSENT
    if done is None and not ready and (state.entries or files):
        return ""
    final = {os.path.normpath(entry.destination) for entry in state.entries}
    for name in sorted(files):
        if not any(os.path.normpath(os.path.join(top, name)) in final for top in prefixes):
            return f"{names.shown(name)} is SCR's, and its state file does not have it"
    return None


def _read(dir_fd: int, name: bytes) -> State | None:
    try:
        fd = os.open(name, _OPEN, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        return read_any(dir_fd, fd, name, name)
    finally:
        os.close(fd)
