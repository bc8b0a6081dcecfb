"""Waiting until a job's processes are gone: nothing that may still be written is looked at."""

import time
from collections.abc import Callable

from poststage.errors import RunAgainError
from poststage.names import shown
from poststage.scheduler.base import Processes, Scheduler, Standing

_POLL_FIRST_S = 0.1
_POLL_MOST_S = 5.0


def settled(scheduler: Scheduler, job: str, left: Callable[[], float]) -> Standing:
    """How `job` stands when its processes are gone; asked again until `left()` seconds are over.

    Raises:
        RunAgainError: they are not gone, or nobody says so.
    """
    pause = _POLL_FIRST_S
    while True:
        now = scheduler.standing(job)
        if now.processes is Processes.GONE:
            return now
        if left() <= 0:
            raise _not_gone(scheduler, job, now)
        time.sleep(min(pause, left()))
        pause = min(pause * 1.5, _POLL_MOST_S)


def _not_gone(scheduler: Scheduler, job: str, now: Standing) -> RunAgainError:
    fact = (
        "its processes may still write"
        if now.processes is Processes.ALIVE
        else f"{scheduler.name} does not say whether its processes are gone"
    )
    return RunAgainError(
        f"job {shown(job)}: {fact} ({shown(now.reason)}); nothing was touched",
        hint="run it again when the job has ended; without --job nobody is asked",
    )
