"""First half of apply: everything about a file but its name.

Looks, plans, proves the checksum, restores the metadata through the descriptor. What has
no more to do becomes an outcome at once; what waits for its name becomes a step.
"""

import os

from poststage import names
from poststage.errors import PoststageError
from poststage.finalize import metadata, observe
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.plan import Action, Plan, plan_file
from poststage.finalize.seen import Fate, Seen
from poststage.finalize.work import Job, Step, Work
from poststage.model import Entry, TransferState, Verdict

_RESTORED = frozenset(
    {Action.PUBLISH, Action.REPLACE, Action.TAKE_NAME, Action.STEP_ASIDE, Action.DROP_TEMP}
)
HELD_BACK = "it is ready, and held back until its whole dataset is (--publish dataset)"


def prepare(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    """The step that is left for a FILE entry, or its outcome if none is."""
    try:
        return _file(job, index, entry, work)
    except (OSError, PoststageError) as error:
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
    if plan.action in _RESTORED:
        proven = _restored(step, fd)
        if not isinstance(proven, Step):
            return proven
        step = proven
    if work.hold and plan.action not in {Action.DELETE, Action.NONE}:
        return outcome(Verdict.RUNNING, HELD_BACK, changed=step.changed)
    return step


def _restored(step: Step, fd: int) -> Step | Outcome:
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
    try:
        changed = metadata.restore(fd, temp, entry.meta)
    except OSError as error:
        return refused("restoring owner, mode and times", error)
    return Step(step.job, step.index, step.seen, step.plan, changed)


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
