"""A job that goes back to the queue: nothing of it is published, and nothing stands in its way.

Its next run writes all output again and records it under the same names. So what this run
recorded is put aside as a STATEDIR of its own, `.requeued-N`, where no later run finds it by
itself; its temp files stay. By hand it can be finalized after all, or cancelled.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from poststage.durable import fsops
from poststage.errors import RunAgainError
from poststage.finalize.scan import Group
from poststage.names import shown
from poststage.statefile.layout import report_name

_NAME = b".requeued-%d"
_MOST = 10_000


def put_aside(state_dir: Path, groups: Iterable[Group]) -> str:
    """Move the datasets into a new `.requeued-N`; says so in words.

    Also those that are done: an agent refuses a name of which a record is there.

    A crash in between leaves some for the next call, which puts them into a directory of
    their own. The caller holds the STATEDIR's lock.

    Raises:
        RunAgainError: no free name. OSError: something could not be moved; it is where it was.
    """
    from poststage.backends.localdisk import (
        FOLDER,  # a run that publishes needs no backend but its own
    )

    names = _names(groups)
    if not names:
        return "the job goes back to the queue: it had nothing on record"
    fd = fsops.open_dir(os.fsencode(state_dir))
    try:
        aside = _new_dir(fd)
        aside_fd = fsops.open_subdir(fd, aside)
        try:
            for name in [*names, os.fsencode(FOLDER)]:
                _move(fd, name, aside_fd)
            fsops.sync(aside_fd)
        finally:
            os.close(aside_fd)
        fsops.sync(fd)
    finally:
        os.close(fd)
    where = shown(os.path.join(os.fsencode(state_dir), aside))
    return f"the job goes back to the queue: nothing was published; its record is in {where}"


def _names(groups: Iterable[Group]) -> list[bytes]:
    """What lies directly in STATEDIR and belongs to a dataset, done or not."""
    names: dict[bytes, None] = {}
    for group in groups:
        top = group.directory.partition(b"/")[0]
        names.update(dict.fromkeys([top, report_name(top)] if top else group.pending + group.done))
    return list(names)


def _new_dir(fd: int) -> bytes:
    for number in range(1, _MOST):
        if fsops.make_dir(fd, _NAME % number, 0o700):
            return _NAME % number
    raise RunAgainError(f"{shown(_NAME % _MOST)}: no free name; nothing was put aside")


def _move(fd: int, name: bytes, aside_fd: int) -> None:
    if fsops.facts(fd, name) is not None:
        fsops.move_into(fd, name, aside_fd, name)
