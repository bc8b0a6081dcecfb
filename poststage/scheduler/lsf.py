"""LSF: the environment of the stage-out phases that `bsub -stage` names.

A phase runs on the launch node when the allocation is given back, and LSF_STAGE_USER_STAGE_OUT
is set there; the job's processes are gone by then. There is nobody to ask, and no need to.
POST_EXEC (lsb.queues) has LSB_JOBID alone. Written from IBM's manual, not run on LSF.
"""

from collections.abc import Mapping

from poststage.scheduler.base import Processes, Scheduler, Situation, Standing


def _situation(env: Mapping[str, str]) -> Situation:
    return Situation(
        "lsf",
        env.get("LSF_STAGE_JOBID") or env.get("LSB_JOBID", ""),
        env.get("LSF_STAGE_USER") or None,
        env.get("LSF_STAGE_HOSTS") or env.get("LSB_HOSTS", ""),
    )


def _standing(job: str) -> Standing:
    del job
    return Standing(Processes.GONE, reason="LSF stages out when the allocation has ended")


SCHEDULER = Scheduler("lsf", _situation, _standing)
