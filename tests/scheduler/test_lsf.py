"""LSF's environments, recorded from IBM's manual."""

from poststage.scheduler import load, situation
from poststage.scheduler.base import Processes

STAGE_OUT = {
    "LSF_STAGE_JOBID": "77",
    "LSF_STAGE_JOBINDEX": "0",
    "LSF_STAGE_USER": "me",
    "LSF_STAGE_HOSTS": "n1 n2",
    "LSF_STAGE_USER_STAGE_OUT": "/home/me/out.sh",
    "LSF_STAGE_JOB_STATUS": "0",
    "LSB_JOBID": "76",
}


def test_a_stage_out_phase_tells_job_owner_and_hosts() -> None:
    here = situation("lsf", STAGE_OUT)
    assert (here.job, here.owner, here.hosts) == ("77", "me", "n1 n2")


def test_a_post_exec_tells_the_job() -> None:
    here = situation("lsf", {"LSB_JOBID": "76", "LSB_JOBEXIT_STAT": "0"})
    assert (here.job, here.owner) == ("76", None)


def test_a_phase_runs_when_the_processes_are_gone() -> None:
    scheduler = load("lsf")
    assert scheduler is not None
    assert scheduler.standing("77").processes is Processes.GONE
