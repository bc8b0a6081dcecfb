"""Looking at one file's names: temp file, destination, conflict name. Changes nothing."""

import errno
import os
import time

from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.finalize.seen import Facts, Seen, facts_of, same_but_atime

_ATTEMPTS = 100  # conflict copies of one name and one second
_STEP_S = 5  # between the first and the last rank that records its part of a step
# A symlink, a socket, a device without a driver: seen through O_PATH, never opened.
_NOT_TO_OPEN = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV})


def stamp(created_ns: int) -> str:
    """The time in a conflict name: when the transfer was created, UTC, so that every run of
    the finalizer finds the same name."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(created_ns // 1_000_000_000))


def look(seen: Seen, dir_fd: int, *, created_ns: int, full: bool = False) -> tuple[Seen, int]:
    """`seen` with what stands at its names, and the temp file's descriptor (-1 if none).

    The destination is looked at where the answer can change the plan; always if `full`.
    The caller closes the descriptor. OSError passes through.
    """
    entry = seen.entry
    fd = _open(dir_fd, entry.temp)
    temp = facts_of(os.fstat(fd)) if fd >= 0 else None
    needed = full or temp is None or temp.nlink != 1 or entry.prior is not None
    if not needed:
        return replace(seen, temp=temp, looked=False, euid=os.geteuid()), fd
    name = names.split(entry.destination)[1]
    info = fsops.facts(dir_fd, name)
    destination = None if info is None else facts_of(info)
    aside_name, aside = find_aside(seen, dir_fd, name, temp, created_ns)
    if temp is None and not _is_recorded(destination, seen) and not _is_recorded(aside, seen):
        aside_name, aside = _of_another_part(seen, dir_fd, name, created_ns) or (aside_name, aside)
    seen = replace(seen, temp=temp, looked=True, destination=destination, euid=os.geteuid())
    return replace(seen, aside=aside, aside_name=aside_name), fd


def find_aside(
    seen: Seen, dir_fd: int, name: bytes, temp: Facts | None, created_ns: int
) -> tuple[bytes, Facts | None]:
    """The conflict copy that this transfer made of `name`, or the first that there is."""
    first: tuple[bytes, Facts | None] = b"", None
    for attempt in range(_ATTEMPTS):
        aside = names.conflict_name(name, stamp(created_ns), attempt)
        info = fsops.facts(dir_fd, aside)
        if info is None:
            return first
        facts = facts_of(info)
        first = first if first[1] else (aside, facts)
        if temp is not None and facts.ino == temp.ino:
            return aside, facts
        if _is_recorded(facts, seen):
            return aside, facts
    return first


def _of_another_part(
    seen: Seen, dir_fd: int, name: bytes, created_ns: int
) -> tuple[bytes, Facts] | None:
    """The file under a conflict name that another part of the same step gave it.

    Two parts name one destination, and the second took the name of what the first had
    published; its conflict name has the time of the second's transfer.
    """
    for seconds in range(-_STEP_S, _STEP_S + 1):
        aside, facts = find_aside(seen, dir_fd, name, None, created_ns + seconds * 1_000_000_000)
        if facts is not None and _is_recorded(facts, seen):
            return aside, facts
    return None


def _is_recorded(facts: Facts | None, seen: Seen) -> bool:
    return facts is not None and same_but_atime(facts.meta, seen.entry.meta)


def _open(dir_fd: int, name: bytes) -> int:
    try:
        return fsops.open_file(dir_fd, name)
    except FileNotFoundError:
        if fsops.facts(dir_fd, name) is None:  # one answer alone would write a whole file off
            return -1
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None
    except OSError as error:
        if error.errno in _NOT_TO_OPEN:
            return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        raise
