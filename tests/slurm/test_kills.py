"""The scheduler's own ends: timeouts and restarts in the middle of a stage-out."""

import signal

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import Cluster, Job, until

BIG = "--size 600000"


def staging_out(cluster: Cluster, buffer: Buffer) -> Job:
    """A job whose finalizer waits for slow transfers."""
    buffer.fault("--limit", "0.05")
    job = cluster.submit(buffer.program(more=BIG), options=("-n4",))
    until(job.finalizers, bool, "no finalizer runs")
    buffer.until_temp()
    return job


def test_a_stage_out_that_is_killed_is_no_success_and_loses_nothing(
    cluster: Cluster, buffer: Buffer
) -> None:
    with cluster.stage_out_timeout(3):
        job = staging_out(cluster, buffer)
        until(job.finalizers, lambda pids: not pids, "finalize is not killed")
        job.until_reason("slurm_bb_data_out")
    assert job.told()[0] == "STAGE_OUT"
    buffer.fault("--clear")
    done = job.finalize()
    assert done.returncode == 0, done.stderr
    assert buffer.arrived() == buffer.expected(job.id)
    job.give_up()


def test_a_restarted_slurmctld_stages_out_again_and_all_is_exact(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = staging_out(cluster, buffer)
    cluster.stop_slurmctld(signal.SIGTERM)
    cluster.start_slurmctld()
    buffer.fault("--clear")
    job.until_over()
    assert buffer.arrived() == buffer.expected(job.id)


def test_after_a_crash_of_slurmctld_finalize_by_hand_makes_all_exact(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = staging_out(cluster, buffer)
    cluster.until_saved()
    cluster.stop_slurmctld(signal.SIGKILL)
    cluster.start_slurmctld()
    buffer.fault("--clear")
    done = job.finalize()
    assert done.returncode == 0, done.stderr
    assert buffer.arrived() == buffer.expected(job.id)
    cluster.try_command("scancel", "--hurry", job.id)  # Slurm itself may never let go of it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_finalizer_is_an_error_and_never_a_success(
    cluster: Cluster, buffer: Buffer, number: signal.Signals
) -> None:
    job = staging_out(cluster, buffer)
    for pid in job.finalizers():
        cluster.command("kill", f"-{number.value}", pid)
    job.until_reason("slurm_bb_data_out")
    assert job.told()[0] == "STAGE_OUT"
    buffer.fault("--clear")
    assert job.finalize().returncode == 0
    assert buffer.arrived() == buffer.expected(job.id)
    job.give_up()


def test_scancel_hurry_in_the_middle_touches_nothing_of_the_data(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = staging_out(cluster, buffer)
    cluster.command("scancel", "--hurry", job.id)
    job.until_over()
    buffer.fault("--clear")
    until(job.finalizers, lambda pids: not pids, "finalize does not end")
    assert job.finalize().returncode == 0
    assert buffer.arrived() == buffer.expected(job.id)
