"""Processes of a job that write on when they should not: nothing of that is ever published."""

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import Cluster, Job, until

LATE = b"late"


def nothing_late_is_published(buffer: Buffer) -> None:
    """Every published file is as it was when it was handed over."""
    for name, fact in buffer.arrived().items():
        assert LATE not in fact["content"], name
        assert fact["mtime_ns"] // 10**9 == 10**9, name


def nothing_is_published_while_completing(job: Job, buffer: Buffer) -> None:
    """Look again and again until the job's processes are gone."""
    seen_completing = False

    def look() -> str:
        nonlocal seen_completing
        published = [name for name in buffer.arrived() if not name.endswith(".poststage")]
        state = job.told()[0]
        seen_completing = seen_completing or state == "COMPLETING"
        assert state != "COMPLETING" or not published
        return state

    until(look, lambda state: state not in {"RUNNING", "COMPLETING"}, "the job does not end")
    assert seen_completing


def all_handed_over(job: Job) -> None:
    until(job.output, lambda text: text.count("handed over") == 4, "not handed over")


def test_a_cancelled_job_that_ignores_sigterm_is_waited_for(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = cluster.submit(buffer.program(more="--linger 50"), options=("-n4",))
    all_handed_over(job)
    cluster.command("scancel", job.id)
    nothing_is_published_while_completing(job, buffer)
    until(job.finalizers, lambda pids: not pids, "finalize does not end")
    nothing_late_is_published(buffer)
    job.give_up()


@pytest.mark.slow  # Slurm's shortest time limit is a minute
def test_a_job_over_its_time_limit_that_ignores_sigterm_is_waited_for(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = cluster.submit(buffer.program(more="--linger 110"), options=("-n4", "-t1"))
    all_handed_over(job)
    until(lambda: job.told()[0], lambda state: state == "COMPLETING", "no limit", limit_s=120)
    nothing_is_published_while_completing(job, buffer)
    until(job.finalizers, lambda pids: not pids, "finalize does not end")
    nothing_late_is_published(buffer)
    job.give_up()


def test_what_an_orphan_goes_on_writing_into_is_not_published(
    cluster: Cluster, buffer: Buffer
) -> None:
    buffer.fault("--limit", "0.3")  # the orphan begins before its files are copied
    job = cluster.submit(buffer.program(more="--orphan --size 600000"), options=("-n4",))
    job.until_reason("step.0")
    assert "data.0" not in buffer.arrived()
    nothing_late_is_published(buffer)
    assert len(buffer.arrived()) == 6
    job.give_up()
