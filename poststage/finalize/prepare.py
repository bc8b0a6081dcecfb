"""First half of apply: everything about a file but its name.

Looks, plans, proves the checksum, restores the metadata through the descriptor. What has
no more to do becomes an outcome at once; what waits for its name becomes a step.
"""

import os

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import axl, metadata, observe, trust
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.plan import Action, Plan, plan_file
from poststage.finalize.seen import Fate, Seen
from poststage.finalize.work import Job, Step, Work, why_pending
from poststage.model import Entry, TransferState, Verdict

_RESTORED = frozenset(
    {Action.PUBLISH, Action.REPLACE, Action.TAKE_NAME, Action.STEP_ASIDE, Action.DROP_TEMP}
    | {Action.RESTORE}
)
HELD_BACK = (
    "it is ready, and held back until its whole dataset is (--publish dataset); "
    "`finalize --publish file` publishes it without the rest"
)


def prepare(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    """The step that is left for a FILE entry, or its outcome if none is."""
    one = job.foreign(index)
    if one is not None and one.doubt is not None:
        return outcome(one.doubt.verdict, one.doubt.reason)
    try:
        return _file(job, index, entry, work)
    except (OSError, PoststageError) as error:
        return refused("looking at its names", error)


def plan_only(job: Job, index: int, entry: Entry, work: Work) -> tuple[Seen, Plan]:
    """What would be done for a FILE entry; nothing is changed."""
    seen, one = job.seen(index, entry), job.foreign(index)
    if one is not None and one.doubt is not None:
        return seen, Plan(Action.NONE, one.doubt.verdict, one.doubt.reason)
    try:
        dir_fd = work.dirs.fd(names.split(entry.destination)[0])
    except (FileNotFoundError, NotADirectoryError):
        seen = Seen(entry, seen.fate, seen.reason, directory_missing=True)
        return seen, plan_file(seen)
    seen, plan, fd = _looked(job, index, seen, dir_fd, work, full=True)
    if fd >= 0:
        os.close(fd)
    return seen, plan


def _looked(
    job: Job, index: int, seen: Seen, dir_fd: int, work: Work, *, full: bool = False
) -> tuple[Seen, Plan, int]:
    """What stands at the names, what is to be done, and the open file that it is done to (or -1).

    The caller closes the descriptor.
    """
    one, created_ns = job.foreign(index), job.state.head.created_ns
    seen, fd = observe.look(seen, dir_fd, created_ns=created_ns, full=full or one is not None)
    if one is None:
        return seen, plan_file(seen), fd
    judged = axl.judged(
        seen, one, cancelled=job.state.cancelled, delete_incomplete=work.delete_incomplete
    )
    if judged.plan.action is Action.DELETE and fsops.has_writer(fd):
        return judged.seen, axl.WRITTEN, fd
    if fd < 0 and judged.seen.temp is not None:
        fd = fsops.open_file(dir_fd, judged.seen.entry.temp)
    return judged.seen, judged.plan, fd


def _file(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    seen, fd = job.seen(index, entry), -1
    if seen.fate is Fate.PENDING:
        return outcome(Verdict.RUNNING, seen.reason)
    directory = names.split(entry.destination)[0]
    try:
        dir_fd = work.dirs.fd(directory)
    except (FileNotFoundError, NotADirectoryError):
        plan = plan_file(Seen(entry, seen.fate, seen.reason, directory_missing=True))
        return outcome(plan.verdict, plan.reason, code=plan.code)
    try:
        seen, plan, fd = _looked(job, index, seen, dir_fd, work)
        return _planned(Step(job, index, seen, plan, directory), fd, work)
    finally:
        if fd >= 0:
            os.close(fd)


def _planned(step: Step, fd: int, work: Work) -> Step | Outcome:
    plan = step.plan
    if plan.action is Action.NONE and not plan.verdict.final:
        return outcome(plan.verdict, plan.reason, code=plan.code)
    if plan.action in _RESTORED:
        proven = _restored(step, fd, work)
        if not isinstance(proven, Step):
            return proven
        step = proven
    if work.hold and plan.action not in {Action.DELETE, Action.NONE}:
        return outcome(Verdict.RUNNING, HELD_BACK, changed=step.changed)
    return step


def _restored(step: Step, fd: int, work: Work) -> Step | Outcome:
    """Prove and restore the temp file that is open at `fd`."""
    entry, temp = step.seen.entry, step.seen.temp
    assert temp is not None  # only a temp file that was seen gets a name
    if entry.checksum is not None:
        try:
            if not metadata.checksum_fits(fd, entry.checksum):
                metadata.restore(fd, metadata.facts_now(fd), temp.meta)
                reason = "its contents do not have the recorded checksum; it is kept untouched"
                return outcome(Verdict.LOST, reason)
        except OSError as error:
            return refused("reading it back", error)
        temp = metadata.facts_now(fd)
    if work.restore_owners:
        closed = step.seen.closed_mtime_ns
        proven = entry.checksum is not None or closed == temp.meta.mtime_ns
        directory = os.fstat(work.dirs.fd(step.directory))
        trust.check_file(temp.meta, entry.meta, directory, proven=proven)
    try:
        changed = metadata.restore(fd, temp, entry.meta)
    except OSError as error:
        return refused("restoring owner, mode and times", error)
    return Step(step.job, step.index, step.seen, step.plan, step.directory, changed)


def made_later(job: Job) -> Outcome | None:
    """The outcome of what the finalizer makes itself, where the transfer has not ended well."""
    state = job.answer.state
    if state is TransferState.UNKNOWN:
        return outcome(Verdict.UNKNOWN, job.answer.reason)
    if state is TransferState.CANCELED:
        return outcome(Verdict.FAILED, job.answer.reason or "its transfer was cancelled")
    if not state.ended:
        return outcome(Verdict.RUNNING, why_pending(job.answer))
    return None
