"""PBS Pro and OpenPBS: a hook hands on the job and its owner; qstat tells how the job stands.

execjob_end comes when the processes on a node are gone; the job itself is Exiting until that has
happened on all of them. States: qstat(1B), FORMATS. Written from PBS's guides, not run on PBS.
"""

import json
from collections.abc import Mapping
from typing import Any

from poststage.query import Answered, ask
from poststage.scheduler.base import Processes, Scheduler, Situation, Standing

_OVER = frozenset("FMX")
_IN_QUEUE = frozenset("QHW")
_UNKNOWN_JOB = "Unknown Job Id"


def _situation(env: Mapping[str, str]) -> Situation:
    return Situation("pbs", env.get("PBS_JOBID", ""), env.get("PBS_JOB_OWNER") or None)


def _standing(job: str) -> Standing:
    return told(job, ask("qstat", "-x", "-f", "-F", "json", job))


def told(job: str, answered: Answered) -> Standing:
    """What qstat's answer says of `job`."""
    if answered.status != 0:
        gone = _UNKNOWN_JOB in answered.error
        return Standing(Processes.GONE if gone else Processes.UNKNOWN, reason=answered.error)
    state = _state(job, answered.out)
    if not state:
        return Standing(Processes.UNKNOWN, reason=f"qstat does not tell of job {job}")
    if state in _IN_QUEUE:
        return Standing(Processes.GONE, requeued=True, reason=f"it is in state {state}")
    over = state in _OVER
    return Standing(Processes.GONE if over else Processes.ALIVE, reason=f"it is in state {state}")


def _state(job: str, text: str) -> str:
    try:
        jobs: dict[str, Any] = json.loads(text)["Jobs"]
        state = jobs[job]["job_state"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return state if isinstance(state, str) else ""


SCHEDULER = Scheduler("pbs", _situation, _standing)
