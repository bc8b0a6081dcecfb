"""Slurm's words, and what they mean for a file that may still be written."""

import pytest

from poststage.query import Answered
from poststage.scheduler import situation
from poststage.scheduler.base import Processes
from poststage.scheduler.slurm import told

# EpilogSlurmctld's, as Slurm 22.05 gives it.
EPILOG = {
    "SLURM_JOB_ID": "12",
    "SLURM_JOB_UID": "1001",
    "SLURM_JOB_GID": "1001",
    "SLURM_JOB_USER": "me",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_JOB_EXIT_CODE": "0",
}


def answer(*lines: str) -> Answered:
    return Answered(0, "\n".join(lines) + "\n", "squeue: no word")


def test_the_epilog_s_environment_tells_job_owner_and_nodes() -> None:
    here = situation("slurm", EPILOG)
    assert (here.job, here.owner, here.hosts) == ("12", "1001", "n[1-2]")


def test_a_burst_buffer_hook_s_environment_tells_nothing_and_the_option_does() -> None:
    here = situation("slurm", {}, job="12")
    assert (here.job, here.owner) == ("12", None)


@pytest.mark.parametrize("state", ["COMPLETING", "RUNNING", "SUSPENDED", "CONFIGURING", "STOPPED"])
def test_a_job_that_is_not_through_may_still_write(state: str) -> None:
    assert told("12", answer(f"12 {state}")).processes is Processes.ALIVE


@pytest.mark.parametrize("state", ["SOMETHING_NEW", "SIGNALING"])
def test_a_state_that_nobody_knows_is_not_an_end(state: str) -> None:
    assert told("12", answer(f"12 {state}")).processes is Processes.ALIVE


@pytest.mark.parametrize("state", ["STAGE_OUT", "COMPLETED", "CANCELLED", "TIMEOUT", "FAILED"])
def test_a_job_that_is_through_writes_no_more(state: str) -> None:
    standing = told("12", answer(f"12 {state}"))
    assert standing.processes is Processes.GONE
    assert not standing.requeued


@pytest.mark.parametrize("state", ["PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"])
def test_a_job_that_waits_again_was_requeued(state: str) -> None:
    standing = told("12", answer(f"12 {state}"))
    assert standing.processes is Processes.GONE
    assert standing.requeued


def test_of_an_array_only_the_task_itself_counts() -> None:
    assert told("13", answer("12 RUNNING", "13 STAGE_OUT")).processes is Processes.GONE


@pytest.mark.parametrize("lines", [(), ("13 COMPLETED",), ("12 COMPLETED", "12 RUNNING"), ("12",)])
def test_an_answer_about_something_else_is_unknown(lines: tuple[str, ...]) -> None:
    assert told("12", answer(*lines)).processes is Processes.UNKNOWN


def test_a_job_that_slurmctld_has_forgotten_is_gone() -> None:
    error = "squeue: slurm_load_jobs error: Invalid job id specified"
    assert told("12", Answered(1, "", error)).processes is Processes.GONE


def test_no_answer_is_unknown_and_says_why() -> None:
    standing = told("12", Answered(1, "", "squeue: error: Unable to contact slurm controller"))
    assert standing.processes is Processes.UNKNOWN
    assert "Unable to contact" in standing.reason
