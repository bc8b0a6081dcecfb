"""The scheduler that runs a post-stage program: what it told, and what it answers when asked.

The rest of the suite knows a `Situation` and a `Standing`; a scheduler's own words stop here.
"""

from collections.abc import Mapping
from importlib import import_module

from poststage.errors import UsageError
from poststage.names import shown
from poststage.scheduler.base import Scheduler, Situation

NAMES = ("slurm", "flux", "lsf", "pbs")


def load(name: str) -> Scheduler | None:
    """The scheduler `name`, imported now; None for `none`.

    Raises:
        UsageError: there is no such scheduler.
    """
    if name == "none":
        return None
    if name not in NAMES:
        raise UsageError(
            f"scheduler {shown(name)}: is not known; nothing was asked",
            hint=f"use one of none, {', '.join(NAMES)}",
        )
    scheduler: Scheduler = import_module(f"poststage.scheduler.{name}").SCHEDULER
    return scheduler


def situation(name: str, env: Mapping[str, str], *, job: str | None = None) -> Situation:
    """Where this process runs, as the scheduler `name` tells by `env`; `job` counts before that."""
    scheduler = load(name)
    found = Situation("none") if scheduler is None else scheduler.situation(env)
    return found if job is None else Situation(found.scheduler, job, found.owner, found.hosts)
