"""The end of a state file: set aside when all is published, else its final verdicts recorded."""

import os
import time
from collections.abc import Iterator

from poststage.durable import fsops, lock
from poststage.errors import RunAgainError
from poststage.finalize.outcome import PUBLISHED
from poststage.finalize.work import Job
from poststage.model import Ended, Verdict
from poststage.names import shown
from poststage.statefile import StateWriter, read_state, verdicts
from poststage.statefile.layout import FOREIGN_DONE_SUFFIX, beside, done_name

_PUBLISHED = Ended(Verdict.PUBLISHED)


def commit(job: Job, dir_fd: int) -> bool:
    """Write down how `job` ended; whether anything was changed. `dir_fd` holds its state file.

    Every entry published: renamed to `.done` (durable once `dir_fd` is synced). Otherwise the
    verdicts that are final now are appended, so that they hold whatever a backend forgets or
    a user does to the published files.

    Raises:
        OSError: nothing is recorded; the next run comes to the same verdicts.
        RunAgainError: its agent has it open.
    """
    indexes = job.outcomes.unmarked()
    if job.state.recorded and all(job.verdict(index) is Verdict.PUBLISHED for index in indexes):
        _set_aside(job, dir_fd)
        return True
    if not job.state.recorded or not any(one.verdict.final for one in job.outcomes.values()):
        return False
    if job.state.foreign is None:
        _append(job, dict(_final(job)), dir_fd)
    else:
        kept = {**job.state.ended, **dict(_final(job))}
        verdicts.write(dir_fd, job.pending.name, id_=job.state.head.id, ended=kept)
    return True


def _set_aside(job: Job, dir_fd: int) -> None:
    name = job.pending.name
    if job.state.foreign is None:
        fsops.replace(dir_fd, name, done_name(name))
        return
    fsops.replace(dir_fd, name, beside(name, FOREIGN_DONE_SUFFIX))
    verdicts.drop(dir_fd, name)


def _final(job: Job) -> Iterator[tuple[int, Ended]]:
    """The verdicts of this run that hold for ever, in the order of the entries."""
    for index in range(len(job.state.entries)):
        one = job.outcomes.get(index)
        if one is PUBLISHED:
            yield index, _PUBLISHED
        elif one is not None and one.verdict.final:
            yield index, Ended(one.verdict, one.reason)


def _append(job: Job, ended: dict[int, Ended], dir_fd: int) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(job.pending.name, flags, dir_fd=dir_fd)
    try:
        if not lock.try_lock(fd):
            raise RunAgainError(f"{shown(job.pending.path)}: is open by its agent")
        state = read_state(fd, job.pending.path)  # a cancel may have been appended since
        if state is None or state.head.id != job.state.head.id:
            raise RunAgainError(f"{shown(job.pending.path)}: is another transfer's by now")
        writer = StateWriter.reopen(fd, state.whole_bytes)
        writer.verdicts(ended)
        writer.sync()
    finally:
        os.close(fd)


def now_text() -> str:
    """UTC, ISO 8601, for a report."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
