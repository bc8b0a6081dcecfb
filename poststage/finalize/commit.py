"""The end of a state file: set aside when all is published, else its final verdicts recorded."""

import os
import time

from poststage.durable import fsops, lock
from poststage.errors import RunAgainError
from poststage.finalize.work import Job
from poststage.model import Ended, Verdict
from poststage.names import shown
from poststage.statefile import StateWriter, read_state, verdicts
from poststage.statefile.layout import FOREIGN_DONE_SUFFIX, beside, done_name


def commit(job: Job, dir_fd: int) -> bool:
    """Write down how `job` ended; whether anything was changed. `dir_fd` holds its state file.

    Every entry published: renamed to `.done` (durable once `dir_fd` is synced). Otherwise the
    verdicts that are final now are appended, so that they hold whatever a backend forgets or
    a user does to the published files.

    Raises:
        OSError: nothing is recorded; the next run comes to the same verdicts.
        RunAgainError: its agent has it open.
    """
    found = [job.verdict(index) for index in range(len(job.state.entries))]
    if job.state.recorded and all(verdict is Verdict.PUBLISHED for verdict in found):
        _set_aside(job, dir_fd)
        return True
    ended = {
        index: Ended(one.verdict, one.reason)
        for index, one in job.outcomes.items()
        if one.verdict.final
    }
    if not ended or not job.state.recorded:
        return False
    if job.state.foreign is None:
        _append(job, ended, dir_fd)
    else:
        kept = {**job.state.ended, **ended}
        verdicts.write(dir_fd, job.pending.name, id_=job.state.head.id, ended=kept)
    return True


def _set_aside(job: Job, dir_fd: int) -> None:
    name = job.pending.name
    if job.state.foreign is None:
        fsops.replace(dir_fd, name, done_name(name))
        return
    fsops.replace(dir_fd, name, beside(name, FOREIGN_DONE_SUFFIX))
    verdicts.drop(dir_fd, name)


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
