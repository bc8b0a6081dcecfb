"""Walking a STATEDIR: which state files there are, by the directory they lie in."""

import errno
import os
from collections.abc import Iterator

from msgspec import Struct

from poststage.statefile.anyone import is_foreign
from poststage.statefile.layout import DONE_SUFFIX, REPORT_SUFFIX, STATE_SUFFIX

_DEPTH_MAX = 16  # directories below STATEDIR; an agent makes one
_TOO_DEEP = f"has directories deeper than {_DEPTH_MAX} below STATEDIR; they were not looked into"
_OURS = (STATE_SUFFIX, DONE_SUFFIX, REPORT_SUFFIX)


class Group(Struct, frozen=True):
    """The state files of one directory, as a rule one dataset. Names only."""

    directory: bytes
    """Relative to STATEDIR; empty for STATEDIR itself."""
    pending: tuple[bytes, ...]
    """Names `*.state`, by part, and those of AXL's state files."""
    done: tuple[bytes, ...]
    """Names `*.done`."""


def scan(state_dir: bytes, refused: list[OSError]) -> Iterator[Group]:
    """Each directory below `state_dir` that holds state files, in order of name.

    Never through a symlink, never into a dot directory. What cannot be read, or lies deeper
    than agents write, is added to `refused` and does not stop the rest.

    Raises:
        OSError: `state_dir` itself cannot be read.
    """
    os.close(os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    for path, subdirs, files, fd in os.fwalk(state_dir, onerror=refused.append):
        subdirs[:] = sorted(name for name in subdirs if not name.startswith(b"."))
        if subdirs and path.count(b"/") - state_dir.count(b"/") >= _DEPTH_MAX:
            subdirs[:] = []
            refused.append(OSError(errno.ELOOP, _TOO_DEEP, path))
        pending = [name for name in files if name.endswith(STATE_SUFFIX)]
        done = [name for name in files if name.endswith(DONE_SUFFIX)]
        others = (name for name in files if not name.endswith(_OURS))
        pending += [name for name in others if is_foreign(fd, name)]
        if pending or done:
            relative = os.path.relpath(path, state_dir)
            yield Group(
                b"" if relative == b"." else relative,
                tuple(sorted(pending, key=part_order)),
                tuple(sorted(done, key=part_order)),
            )


def part_order(name: bytes) -> tuple[int, bytes]:
    """`2.state` before `10.state`, other names after."""
    stem = name.rpartition(b".")[0]
    return (int(stem), b"") if stem.isdigit() and len(stem) < 12 else (1 << 60, name)


def part_of(name: bytes) -> int | None:
    """The part that a state file's name says; None for a name that is no number."""
    stem = name.rpartition(b".")[0]
    return int(stem) if stem.isdigit() and len(stem) < 12 else None
