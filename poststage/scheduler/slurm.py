"""Slurm: EpilogSlurmctld's environment and squeue's answers.

squeue, not `scontrol show job`: that one prints the job's name, which is its user's to choose,
among the facts. States: squeue(1), JOB STATE CODES; COMPLETING goes before all others until the
last node has run its epilog.
"""

from collections.abc import Mapping

from poststage.query import Answered, ask
from poststage.scheduler.base import Processes, Scheduler, Situation, Standing

_ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
    | {"PREEMPTED", "REVOKED", "STAGE_OUT", "TIMEOUT"}
)
# Where it had started once, which is why a post-stage program runs at all.
_IN_QUEUE = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})
_PURGED = "Invalid job id"


def _situation(env: Mapping[str, str]) -> Situation:
    return Situation(
        "slurm",
        env.get("SLURM_JOB_ID", ""),
        env.get("SLURM_JOB_UID") or None,
        env.get("SLURM_JOB_NODELIST", ""),
    )


def _standing(job: str) -> Standing:
    answered = ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%A %T")
    return told(job, answered)


def told(job: str, answered: Answered) -> Standing:
    """What squeue's answer says of `job`; of an array it tells every task."""
    if answered.status != 0:
        if _PURGED in answered.error:
            return Standing(Processes.GONE, reason="slurmctld knows it no more")
        return Standing(Processes.UNKNOWN, reason=answered.error)
    words = [line.split() for line in answered.out.splitlines()]
    states = [pair[1] for pair in words if len(pair) == 2 and pair[0] == job]
    if len(states) != 1:
        return Standing(Processes.UNKNOWN, reason=f"squeue does not tell of job {job}")
    state = states[0]
    if state in _IN_QUEUE:
        return Standing(Processes.GONE, requeued=True, reason=f"it is {state}")
    gone = state in _ENDED
    return Standing(Processes.GONE if gone else Processes.ALIVE, reason=f"it is {state}")


SCHEDULER = Scheduler("slurm", _situation, _standing)
