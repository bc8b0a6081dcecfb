"""Second half of apply: the name. Runs when the file's data and metadata are durable."""

from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import axl, conflict, observe
from poststage.finalize.outcome import PUBLISHED, Outcome, outcome, refused
from poststage.finalize.plan import CONFLICT, Action, displaced, plan_taken, stepped_aside
from poststage.finalize.seen import facts_of
from poststage.finalize.work import Step, Work
from poststage.model import Verdict

CHANGING = outcome(Verdict.UNKNOWN, "its destination keeps changing; try again")
"""It was taken a moment ago, and is free again; or its file system lies."""


def place(step: Step, work: Work) -> Outcome:
    """Carry out the step's action. Durable once its directory is synced.

    What changed since it was planned gives an outcome that the next run sees anew.
    """
    plan = step.plan
    try:
        dir_fd = work.dirs.fd(step.directory)
        reason = _act(step, dir_fd)
    except FileExistsError:
        return _taken(step, work)
    except FileNotFoundError:
        return outcome(Verdict.UNKNOWN, "it was changed by somebody else at this moment")
    except (OSError, PoststageError) as error:
        return refused(plan.action.value, error)
    if plan.action is Action.PUBLISH:
        return PUBLISHED
    changed = step.changed or plan.action is not Action.NONE
    return outcome(plan.verdict, reason or plan.reason, code=plan.code, changed=changed)


def drop_replaced(step: Step, work: Work) -> Outcome | None:
    """Delete what a REPLACE has left under the temp name; None if nothing was.

    Runs when the new name is durable. Something else than the recorded file is kept.
    """
    entry, stamp = step.seen.entry, observe.stamp(step.job.state.head.created_ns)
    assert entry.prior is not None  # else nothing is replaced
    try:
        dir_fd = work.dirs.fd(step.directory)
        if fsops.facts(dir_fd, entry.temp) is None:
            return None
        name = names.split(entry.destination)[1]
        aside = conflict.drop_prior(dir_fd, entry.temp, name, entry.prior, stamp)
    except (OSError, PoststageError) as error:
        return refused("dropping what it replaced", error)
    if aside:
        return outcome(Verdict.CONFLICT, displaced(CONFLICT, aside), changed=True)
    return outcome(Verdict.PUBLISHED, changed=True)


def _act(step: Step, dir_fd: int) -> str:
    """Do it; the reason to report where the plan's own is not enough."""
    entry, action = step.seen.entry, step.plan.action
    name = names.split(entry.destination)[1]
    if action is Action.PUBLISH:
        fsops.publish(dir_fd, entry.temp, name)
    elif action is Action.REPLACE and entry.prior is not None:
        conflict.replace_prior(dir_fd, entry.temp, name, entry.prior)
    elif action is Action.DELETE:
        fsops.unlink(dir_fd, entry.temp)
    elif action in {Action.DROP_TEMP, Action.DROP_PRIOR}:
        fsops.sync(dir_fd)  # its other name is durable before this one goes
        fsops.unlink(dir_fd, entry.temp)
    elif action not in {Action.NONE, Action.RESTORE}:
        return _conflict(step, dir_fd, name)
    return ""


def _conflict(step: Step, dir_fd: int, name: bytes) -> str:
    stamp = observe.stamp(step.job.state.head.created_ns)
    temp, action = step.seen.entry.temp, step.plan.action
    if action is Action.TAKE_NAME:
        aside = conflict.take_name(dir_fd, temp, name, stamp)
        return displaced(step.plan.reason, aside)
    if action is Action.SET_ASIDE:
        aside = conflict.set_aside(dir_fd, temp, name, stamp)
        return displaced(step.plan.reason, aside)
    aside = conflict.step_aside(dir_fd, temp, name, stamp)
    return stepped_aside(step.plan.reason, aside)


def _taken(step: Step, work: Work) -> Outcome:
    """The destination is not free: plan again, knowing what stands there."""
    if step.plan.action not in {Action.PUBLISH, Action.REPLACE}:
        return CHANGING
    try:
        dir_fd = work.dirs.fd(step.directory)
        name = names.split(step.seen.entry.destination)[1]
        info = fsops.facts(dir_fd, name)
    except (OSError, PoststageError) as error:
        return refused("looking at its destination", error)
    seen = replace(step.seen, looked=True, destination=None if info is None else facts_of(info))
    plan, is_foreign = plan_taken(seen), step.job.foreign(step.index) is not None
    if is_foreign and step.job.state.cancelled:
        plan = axl.left_standing(plan)
    if plan.action in {Action.PUBLISH, Action.REPLACE}:
        return CHANGING
    return place(Step(step.job, step.index, seen, plan, step.directory, step.changed), work)
