"""PBS's words, recorded from its guides."""

import json

import pytest

from poststage.query import Answered
from poststage.scheduler import situation
from poststage.scheduler.base import Processes
from poststage.scheduler.pbs import told

JOB = "12.server"


def answer(state: object, job: str = JOB) -> Answered:
    jobs = {job: {"Job_Name": 'x" "job_state": "F', "job_state": state}}
    return Answered(0, json.dumps({"timestamp": 1, "Jobs": jobs}), "")


def test_the_environment_tells_job_and_owner() -> None:
    here = situation("pbs", {"PBS_JOBID": JOB, "PBS_JOB_OWNER": "me"})
    assert (here.job, here.owner) == (JOB, "me")


@pytest.mark.parametrize("state", [*"RESTUB", "?"])
def test_a_job_that_is_not_over_may_still_write(state: str) -> None:
    assert told(JOB, answer(state)).processes is Processes.ALIVE


@pytest.mark.parametrize("state", list("FMX"))
def test_a_job_that_is_over_writes_no_more(state: str) -> None:
    assert told(JOB, answer(state)).processes is Processes.GONE


@pytest.mark.parametrize("state", list("QHW"))
def test_a_job_that_waits_again_was_requeued(state: str) -> None:
    standing = told(JOB, answer(state))
    assert (standing.processes, standing.requeued) == (Processes.GONE, True)


def test_a_job_that_the_server_has_forgotten_is_gone() -> None:
    error = "qstat: qstat: Unknown Job Id 12.server"
    assert told(JOB, Answered(153, "", error)).processes is Processes.GONE


@pytest.mark.parametrize(
    "answered",
    [
        Answered(1, "", "qstat: cannot connect to server"),
        Answered(0, "{", ""),
        Answered(0, "[]", ""),
        answer(7),
        answer("F", "13.server"),
    ],
)
def test_no_answer_that_makes_sense_is_unknown(answered: Answered) -> None:
    assert told(JOB, answered).processes is Processes.UNKNOWN
