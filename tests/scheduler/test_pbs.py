"""What the PBS hook hands on."""

import pytest

from poststage.scheduler import load, situation
from poststage.scheduler.base import Processes


def test_the_hook_tells_job_and_owner() -> None:
    here = situation("pbs", {"PBS_JOBID": "12.server", "PBS_JOB_OWNER": "me"})
    assert (here.job, here.owner) == ("12.server", "me")


@pytest.mark.parametrize(("rerun", "requeued"), [("1", True), ("0", False), ("", False)])
def test_the_hook_tells_whether_the_job_runs_again(
    monkeypatch: pytest.MonkeyPatch, rerun: str, requeued: bool
) -> None:
    monkeypatch.setenv("PBS_JOB_RERUN", rerun)
    scheduler = load("pbs")
    assert scheduler is not None
    standing = scheduler.standing("12.server")
    assert (standing.processes, standing.requeued) == (Processes.GONE, requeued)
