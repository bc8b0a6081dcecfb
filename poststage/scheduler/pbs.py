"""PBS Pro and OpenPBS: what the execjob_end hook hands on.

The event comes when all of the job's processes on the node are gone (PBS hooks guide). The hook
runs inside pbs_mom and gives PBS_JOBID and PBS_JOB_OWNER to the program that it starts, and
PBS_JOB_RERUN for a job that goes back to the queue. Written from the guide, not run on PBS.
"""

import os
from collections.abc import Mapping

from poststage.scheduler.base import Processes, Scheduler, Situation, Standing


def _situation(env: Mapping[str, str]) -> Situation:
    return Situation("pbs", env.get("PBS_JOBID", ""), env.get("PBS_JOB_OWNER") or None)


def _standing(job: str) -> Standing:
    del job
    requeued = os.environ.get("PBS_JOB_RERUN") == "1"
    return Standing(Processes.GONE, requeued, "the hook runs when the job's processes have ended")


SCHEDULER = Scheduler("pbs", _situation, _standing)
