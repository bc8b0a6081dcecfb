"""First half of apply: everything about a file but its name.

Looks, plans, proves the checksum, restores the metadata through the descriptor. What has
no more to do becomes an outcome at once; what waits for its name becomes a step.
"""

import os
from contextlib import suppress

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import metadata, observe
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.plan import Action, Plan, placed, plan_file
from poststage.finalize.seen import Fate, Seen
from poststage.finalize.work import Job, Step, Work
from poststage.model import Entry, Kind, TransferState, Verdict

_NAMING = frozenset({Action.PUBLISH, Action.REPLACE, Action.TAKE_NAME, Action.STEP_ASIDE})
HELD_BACK = "it is ready, and held back until its whole dataset is (--publish dataset)"


def prepare(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    """The step that is left for a FILE or SYMLINK entry, or its outcome if none is."""
    try:
        if entry.kind is Kind.SYMLINK:
            return _symlink(job, index, entry, work)
        return _file(job, index, entry, work)
    except PoststageError as error:
        return outcome(Verdict.UNKNOWN, error.message, code=error.exit_code)
    except OSError as error:
        return refused("looking at its names", error)


def plan_only(job: Job, index: int, entry: Entry, work: Work) -> tuple[Seen, Plan]:
    """What would be done for a FILE entry; nothing is changed."""
    seen = job.seen(index, entry)
    try:
        dir_fd = work.dirs.fd(names.split(entry.destination)[0])
    except (FileNotFoundError, NotADirectoryError):
        seen = Seen(entry, seen.fate, seen.reason, directory_missing=True)
        return seen, plan_file(seen)
    seen, fd = observe.look(seen, dir_fd, created_ns=job.state.head.created_ns, full=True)
    if fd >= 0:
        os.close(fd)
    return seen, plan_file(seen)


def _file(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    seen, fd = job.seen(index, entry), -1
    if seen.fate is Fate.PENDING:
        return outcome(Verdict.RUNNING, seen.reason)
    try:
        dir_fd = work.dirs.fd(names.split(entry.destination)[0])
    except (FileNotFoundError, NotADirectoryError):
        plan = plan_file(Seen(entry, seen.fate, seen.reason, directory_missing=True))
        return outcome(plan.verdict, plan.reason, code=plan.code)
    try:
        seen, fd = observe.look(seen, dir_fd, created_ns=job.state.head.created_ns)
        return _planned(Step(job, index, seen, plan_file(seen)), fd, work)
    finally:
        if fd >= 0:
            os.close(fd)


def _planned(step: Step, fd: int, work: Work) -> Step | Outcome:
    plan = step.plan
    if plan.action is Action.NONE and not plan.verdict.final:
        return outcome(plan.verdict, plan.reason, code=plan.code)
    if work.hold and plan.action not in {Action.DELETE, Action.NONE}:
        return outcome(Verdict.RUNNING, HELD_BACK)
    if plan.action in _NAMING:
        return _restored(step, fd)
    return step


def _restored(step: Step, fd: int) -> Step | Outcome:
    """Prove and restore the temp file that is open at `fd`."""
    entry, temp = step.seen.entry, step.seen.temp
    assert temp is not None  # only a temp file that was seen gets a name
    if entry.checksum is not None:
        try:
            fits = metadata.checksum_fits(fd, entry.checksum)
        except OSError as error:
            return refused("reading it back", error)
        if not fits:
            reason = "its contents do not have the recorded checksum; it is kept untouched"
            return outcome(Verdict.LOST, reason)
        temp = metadata.facts_now(fd)
    try:
        changed = metadata.restore(fd, temp, entry.meta)
    except OSError as error:
        return refused("restoring owner, mode and times", error)
    return Step(step.job, step.index, step.seen, step.plan, changed)


def _symlink(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    """A symlink is made here, from the record, under its temp name."""
    waits = made_later(job)
    if waits is not None:
        return waits
    if work.hold:
        return outcome(Verdict.RUNNING, HELD_BACK)
    seen = job.seen(index, entry)
    directory, name = names.split(entry.destination)
    dir_fd = work.dirs.fd(directory)
    if _points_to(dir_fd, name, entry):
        return Step(job, index, seen, Plan(Action.NONE, Verdict.PUBLISHED))
    if not _points_to(dir_fd, entry.temp, entry):
        assert entry.target is not None  # the reader guarantees it
        with suppress(FileNotFoundError):
            fsops.unlink(dir_fd, entry.temp)
        fsops.symlink(entry.target, dir_fd, entry.temp)
    _restore_link(dir_fd, entry)
    seen, fd = observe.look(seen, dir_fd, created_ns=job.state.head.created_ns, full=True)
    os.close(fd)
    return Step(job, index, seen, placed(seen), changed=True)


def made_later(job: Job) -> Outcome | None:
    """The outcome of what the finalizer makes itself, where the transfer has not ended well."""
    state = job.answer.state
    if state is TransferState.UNKNOWN:
        return outcome(Verdict.UNKNOWN, job.answer.reason)
    if state is TransferState.CANCELED:
        return outcome(Verdict.FAILED, job.answer.reason or "its transfer was cancelled")
    if not state.ended:
        return outcome(Verdict.RUNNING, job.answer.reason or "its transfer is still running")
    return None


def _points_to(dir_fd: int, name: bytes, entry: Entry) -> bool:
    """Whether `name` is a symlink with the recorded target and mtime."""
    info = fsops.facts(dir_fd, name)
    if info is None or not fsops.is_symlink(info):
        return False
    fits = os.readlink(name, dir_fd=dir_fd) == entry.target
    return fits and (name == entry.temp or info.st_mtime_ns == entry.meta.mtime_ns)


def _restore_link(dir_fd: int, entry: Entry) -> None:
    info, meta = os.stat(entry.temp, dir_fd=dir_fd, follow_symlinks=False), entry.meta
    if (info.st_uid, info.st_gid) != (meta.uid, meta.gid):
        fsops.set_link_owner(dir_fd, entry.temp, meta.uid, meta.gid)
    fsops.set_link_times(dir_fd, entry.temp, meta.atime_ns, meta.mtime_ns)
