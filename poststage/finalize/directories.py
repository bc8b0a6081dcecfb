"""Directories that were handed over: made where they are missing, and given their modes last."""

import os
import stat
from collections.abc import Iterable
from contextlib import nullcontext, suppress

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import trust
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.prepare import made_later
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Kind, Meta, Verdict

_OWNER_WRITES = stat.S_IWUSR | stat.S_IXUSR
_IN_THE_WAY = "something else than a directory stands there; it was left alone"


def make_directories(jobs: Iterable[Job], work: Work) -> None:
    """Make what is missing of the directories of `jobs`, private to their owner; durable.

    The agent makes them before it starts a transfer; this is for one that was killed before
    that and had no file to start one for. Where files were moved and none of them can be
    seen, the file system may not be mounted: nothing is made on its bare mount point.
    What cannot be made is told by `finish_directory`.
    """
    wanted = {
        entry.destination: entry.meta
        for job in jobs
        if not work.hold and made_later(job) is None and _may_make(job)
        for _, entry in job.open_entries(Kind.DIRECTORY)
        if entry.prior is None
    }
    for path, meta in sorted(wanted.items(), key=lambda item: item[0]):
        with suppress(OSError, PoststageError):
            _make(path, meta, work)


def _may_make(job: Job) -> bool:
    files = [i for i, entry in enumerate(job.state.entries) if entry.kind is Kind.FILE]
    return not files or any(
        index in job.outcomes and job.outcomes[index].verdict is Verdict.PUBLISHED
        for index in files
    )


def _make(path: bytes, meta: Meta, work: Work) -> None:
    parent, name = names.split(path)
    parent_fd = work.dirs.fd(parent)
    if fsops.facts(parent_fd, name) is not None:
        return
    with trust.making_for(meta, os.fstat(parent_fd)) if work.restore_owners else nullcontext():
        made = fsops.make_dir(parent_fd, name, stat.S_IRWXU)
    if made:
        fsops.sync(parent_fd)


def finish_directory(entry: Entry, job: Job, work: Work, *, last: bool) -> Outcome:
    """Give a directory that the agent made its recorded mode; durable on return.

    A mode that keeps its owner from writing waits until `last`: no transfer of the dataset
    still has a file to publish. One that stood there before is left as it is.
    """
    waits = made_later(job)
    if waits is not None and waits.verdict is not Verdict.FAILED:
        return waits
    if entry.prior is not None:
        return outcome(Verdict.PUBLISHED)
    if work.hold or not (last or entry.meta.mode & _OWNER_WRITES == _OWNER_WRITES):
        return outcome(Verdict.RUNNING, "its mode is set when no file in it is left to publish")
    try:
        return _finished(entry, work, waits)
    except (OSError, PoststageError) as error:
        return refused("setting the directory's mode", error)


def _finished(entry: Entry, work: Work, cancelled: Outcome | None) -> Outcome:
    parent, name = names.split(entry.destination)
    try:
        parent_fd = work.dirs.fd(parent)
        info = fsops.facts(parent_fd, name)
    except FileNotFoundError:
        return cancelled or outcome(
            Verdict.UNKNOWN, "the directory above it is not there; is its file system mounted?"
        )
    if info is None:
        reason = "it is not there; is its file system mounted?"
        return cancelled or outcome(Verdict.UNKNOWN, reason)
    if not stat.S_ISDIR(info.st_mode):
        return outcome(Verdict.CONFLICT, _IN_THE_WAY)
    wanted = _wanted(entry, info, work)
    if (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == wanted:
        return outcome(Verdict.PUBLISHED)
    _dress(parent_fd, name, wanted, entry.meta if work.restore_owners else None)
    return outcome(Verdict.PUBLISHED, changed=True)


def _wanted(entry: Entry, info: os.stat_result, work: Work) -> tuple[int, int, int]:
    """Owner, group and mode; the owner is restored only where root does that for files."""
    if work.restore_owners:
        return entry.meta.uid, entry.meta.gid, entry.meta.mode
    return info.st_uid, info.st_gid, entry.meta.mode


def _dress(parent_fd: int, name: bytes, wanted: tuple[int, int, int], given: Meta | None) -> None:
    """Owner, group and mode; `given`: root does it on the word of this record."""
    fd = fsops.open_subdir(parent_fd, name)
    try:
        info = os.fstat(fd)
        if given is not None:
            trust.check_directory(info, given, os.fstat(parent_fd))
        if (info.st_uid, info.st_gid) != wanted[:2]:
            fsops.set_owner(fd, *wanted[:2])
        fsops.set_mode(fd, wanted[2])
        fsops.sync(fd)
    finally:
        os.close(fd)
