"""A job that goes back to the queue: nothing of it is published, and nothing stands in its way.

Its next run writes all output again and records it under the same names. So what this run
recorded is put aside as a STATEDIR of its own, `.requeued-N`, where no later run finds it by
itself; its temp files stay. By hand it can be finalized after all, or cancelled. What other jobs
have recorded in the same STATEDIR stays where it is.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from poststage.durable import fsops
from poststage.errors import RunAgainError, StateFileError
from poststage.finalize.pending import Pending, load
from poststage.finalize.scan import Group
from poststage.names import shown
from poststage.statefile.layout import VERDICTS_SUFFIX, beside, report_name

_NAME = b".requeued-%d"
_BACKENDS_OWN = (b".local", b".datawarp")
_MOST = 10_000


class _Choice(NamedTuple):
    """What is put aside."""

    names: list[tuple[bytes, bytes]]
    """Directory, relative to STATEDIR, and name in it."""
    all_of_it: bool
    """Whether no record of another job stays."""


def put_aside(state_dir: Path, groups: Iterable[Group], job: str = "") -> str:
    """Move what `job` has recorded into a new `.requeued-N`; says so in words.

    Also what is done: an agent refuses a name of which a record is there. What tells no job (a
    state file of AXL's, one recorded outside of any) goes along; with no `job`, everything does.

    A crash in between leaves some for the next call, which puts them into a directory of
    their own. The caller holds the STATEDIR's lock.

    Raises:
        RunAgainError: no free name. OSError: something could not be moved; it is where it was.
    """
    with _opened(fsops.open_dir(os.fsencode(state_dir))) as fd:
        chosen = _chosen(fd, state_dir, groups, job)
        if not chosen.names:
            return "the job goes back to the queue: it had nothing on record"
        aside = _new_dir(fd)
        with _opened(fsops.open_subdir(fd, aside)) as aside_fd:
            for directory, name in chosen.names:
                _move(fd, directory, name, aside_fd)
            _take_queues(fd, aside_fd, all_of_it=chosen.all_of_it)
            fsops.sync(aside_fd)
        fsops.sync(fd)
    where = shown(os.path.join(os.fsencode(state_dir), aside))
    others = "" if chosen.all_of_it else "; what other jobs recorded is left alone"
    words = f"nothing was published; its record is in {where}{others}"
    return f"the job goes back to the queue: {words}"


def _chosen(fd: int, state_dir: Path, groups: Iterable[Group], job: str) -> _Choice:
    by_top: dict[bytes, list[Group]] = {}
    for group in groups:
        by_top.setdefault(group.directory.partition(b"/")[0], []).append(group)
    names: list[tuple[bytes, bytes]] = []
    all_of_it = True
    for top, some in by_top.items():
        jobs = {group.directory: _jobs(fd, state_dir, group) for group in some} if job else {}
        theirs = any(
            one not in {"", None, job} for found in jobs.values() for one in found.values()
        )
        all_of_it = all_of_it and not theirs
        if top and not theirs:
            names += [(b"", top), (b"", report_name(top))]
            continue
        # Beside another job's records, one that cannot be read may be that job's.
        ours = {"", job} if theirs else {"", job, None}
        for group in some:
            found = jobs.get(group.directory, {})
            names += _files(group, [one for one in _all(group) if found.get(one) in ours])
    return _Choice(names, all_of_it)


def _all(group: Group) -> Sequence[bytes]:
    return group.pending + group.done


def _files(group: Group, chosen: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """State files of `group`, and what stands beside those of AXL's."""
    for name in chosen:
        yield group.directory, name
        yield group.directory, beside(name, VERDICTS_SUFFIX)


def _jobs(fd: int, state_dir: Path, group: Group) -> dict[bytes, str | None]:
    """The job that each state file tells; "" for none, None where it cannot be read."""
    found: dict[bytes, str | None] = {}
    base = os.path.join(os.fsencode(state_dir), group.directory)
    with _opened(_descend(fd, group.directory)) as dir_fd:
        for name in _all(group):
            try:
                state = load(dir_fd, Pending(group.directory, name, os.path.join(base, name))).state
                found[name] = "" if state is None else state.head.job
            except (StateFileError, OSError):
                found[name] = None
    return found


def _new_dir(fd: int) -> bytes:
    for number in range(1, _MOST):
        if fsops.make_dir(fd, _NAME % number, 0o700):
            return _NAME % number
    raise RunAgainError(f"{shown(_NAME % _MOST)}: no free name; nothing was put aside")


def _move(fd: int, directory: bytes, name: bytes, aside_fd: int) -> None:
    """Move one name of `directory` to the same place below `.requeued-N`; none is nothing."""
    with _opened(_descend(fd, directory)) as source:
        if fsops.facts(source, name) is None:
            return
        with _opened(_descend(aside_fd, directory, make=True)) as target:
            fsops.move_into(source, name, target, name)
            if directory:
                fsops.sync(source)
                fsops.sync(target)


def _take_queues(fd: int, aside_fd: int, *, all_of_it: bool) -> None:
    """What backends keep in STATEDIR: moved along, or seen from there too."""
    for name in _BACKENDS_OWN:
        if all_of_it:
            _move(fd, b"", name, aside_fd)
        elif fsops.facts(fd, name) is not None:
            fsops.symlink(b"../" + name, aside_fd, name)


def _descend(fd: int, directory: bytes, *, make: bool = False) -> int:
    """A descriptor of `directory` below `fd`, step by step and through no symlink."""
    here = os.dup(fd)
    for name in filter(None, directory.split(b"/")):
        with _opened(here):
            if make:
                fsops.make_dir(here, name, 0o700)
            here = fsops.open_subdir(here, name)
    return here


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
