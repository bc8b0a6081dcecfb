"""Flux's words, recorded from its manuals; a job with storage on a Rabbit waits for its data."""

import pytest

from poststage.query import Answered
from poststage.scheduler import situation
from poststage.scheduler.base import Processes
from poststage.scheduler.flux import told, uses_rabbit

EPILOG = {
    "FLUX_JOB_ID": "ƒ2oLkTLb",
    "FLUX_JOB_USERID": "1001",
    "FLUX_URI": "local:///run/flux/local",
}
PLAIN = Answered(0, '{"attributes": {"system": {"duration": 0}}}', "")
RABBIT = Answered(0, '{"attributes": {"system": {"dw": "#DW jobdw type=xfs"}}}', "")


def test_an_epilog_s_environment_tells_job_and_owner() -> None:
    here = situation("flux", EPILOG)
    assert (here.job, here.owner) == ("ƒ2oLkTLb", "1001")


def test_a_job_without_a_rabbit_is_over_when_its_epilog_runs() -> None:
    assert not uses_rabbit(PLAIN)
    assert told(PLAIN, None).processes is Processes.GONE


@pytest.mark.parametrize(
    ("moved", "processes"),
    [
        (Answered(0, "12.5", ""), Processes.GONE),
        (Answered(1, "", "flux: No such file or directory"), Processes.ALIVE),
        (Answered(-1, "", "flux: no answer in 20 s"), Processes.UNKNOWN),
    ],
)
def test_a_job_on_a_rabbit_is_over_when_its_data_have_been_moved(
    moved: Answered, processes: Processes
) -> None:
    assert uses_rabbit(RABBIT)
    assert told(RABBIT, moved).processes is processes


@pytest.mark.parametrize(
    "jobspec", [Answered(1, "", "flux: x"), Answered(0, "{", ""), Answered(0, "[]", "")]
)
def test_a_jobspec_that_tells_nothing_is_taken_for_one_with_a_rabbit(jobspec: Answered) -> None:
    assert uses_rabbit(jobspec)


def test_no_answer_is_unknown() -> None:
    assert told(Answered(1, "", "flux: x"), None).processes is Processes.UNKNOWN
