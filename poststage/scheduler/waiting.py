"""Waiting until a job's processes are gone: nothing that may still be written is looked at."""

import time
from collections.abc import Callable

from poststage.errors import RunAgainError
from poststage.names import shown
from poststage.scheduler.base import Processes, Scheduler, Standing

_POLL_FIRST_S = 0.1
_POLL_MOST_S = 5.0


def settled(
    scheduler: Scheduler, job: str, left: Callable[[], float], tell: Callable[[str], None]
) -> Standing:
    """How `job` stands when its processes are gone; asked again until `left()` seconds are over.

    What is waited for is told once, and again when it is something else.

    Raises:
        RunAgainError: they are not gone, or nobody says so.
    """
    pause, told = _POLL_FIRST_S, ""
    while True:
        now = scheduler.standing(job)
        if now.processes is Processes.GONE:
            return now
        if now.reason != told:
            told = now.reason
            tell(f"job {shown(job)}: {_fact(scheduler, now)} ({shown(told)}); waiting")
        if left() <= 0:
            raise _not_gone(scheduler, job, now)
        time.sleep(min(pause, left()))
        pause = min(pause * 1.5, _POLL_MOST_S)


def _not_gone(scheduler: Scheduler, job: str, now: Standing) -> RunAgainError:
    return RunAgainError(
        f"job {shown(job)}: {_fact(scheduler, now)} ({shown(now.reason)}); nothing was touched",
        hint="run it again when the job has ended; without --job nobody is asked",
    )


def _fact(scheduler: Scheduler, now: Standing) -> str:
    if now.processes is Processes.ALIVE:
        return "its processes may still write"
    return f"{scheduler.name} does not say whether its processes are gone"
