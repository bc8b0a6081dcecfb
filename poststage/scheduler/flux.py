"""Flux: the environment of an epilog in epilog.d, and `flux job info`.

An epilog runs when the job's tasks are gone (flux-config-job-manager(5)). With Rabbit storage the
data move after that: HPE's plugin adds the key rabbit_dataout_timing when they have, and jobspec
holds the directives under attributes.system.dw. Written from the manuals, not run on a Rabbit.
"""

import json
from collections.abc import Mapping

from poststage.query import Answered, ask
from poststage.scheduler.base import Processes, Scheduler, Situation, Standing

_MOVED = "rabbit_dataout_timing"


def _situation(env: Mapping[str, str]) -> Situation:
    return Situation("flux", env.get("FLUX_JOB_ID", ""), env.get("FLUX_JOB_USERID") or None)


def _standing(job: str) -> Standing:
    jobspec = ask("flux", "job", "info", job, "jobspec")
    moved = ask("flux", "job", "info", job, _MOVED) if uses_rabbit(jobspec) else None
    return told(jobspec, moved)


def uses_rabbit(jobspec: Answered) -> bool:
    """Whether the job has storage on a Rabbit; True where the answer makes no sense."""
    if jobspec.status != 0:
        return True
    try:
        system = json.loads(jobspec.out)["attributes"]["system"]
        return "dw" in system
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def told(jobspec: Answered, moved: Answered | None) -> Standing:
    """What the answers say; `moved` is that of the timing key, asked of a job with storage."""
    if jobspec.status != 0:
        return Standing(Processes.UNKNOWN, reason=jobspec.error)
    if moved is None:
        return Standing(Processes.GONE)
    if moved.status == 0:
        return Standing(Processes.GONE, reason="its data have been moved")
    if moved.status < 0:
        return Standing(Processes.UNKNOWN, reason=moved.error)
    return Standing(Processes.ALIVE, reason="its data are still being moved")


SCHEDULER = Scheduler("flux", _situation, _standing)
