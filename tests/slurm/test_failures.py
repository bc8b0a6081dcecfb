"""What a user and an admin see when something of a job cannot be finalized, and what they do."""

from tests.slurm.buffer import RANKS, Buffer
from tests.slurm.cluster import Cluster

PREFIX = "burst_buffer/lua: slurm_bb_data_out: "


def test_a_file_that_failed_is_in_the_reason_and_the_job_stays_in_stage_out(
    cluster: Cluster, buffer: Buffer
) -> None:
    buffer.fault("--fail", "data.2")
    job = cluster.submit(buffer.program(), options=("-n4",))
    reason = job.until_reason("data.2").removeprefix(PREFIX)
    assert reason.startswith(("step.0: 1 failed, ", "step.0: 1 failed ("))
    assert len(reason) <= 120
    assert job.told()[0] == "STAGE_OUT"
    assert len(buffer.arrived()) == 2 * RANKS - 1
    by_hand = job.finalize()
    assert by_hand.returncode == 3
    assert "injected fault" in by_hand.stderr
    assert (
        cluster.as_user("poststage", "forget", "--failed", "--dir", job.state_dir).returncode == 0
    )
    assert job.finalize().returncode == 0
    job.give_up()


def test_what_an_admin_finalizes_by_hand_is_done_when_the_cause_is_gone(
    cluster: Cluster, buffer: Buffer
) -> None:
    lock_out = f"poststage wait && chmod 0 {buffer.out}"
    job = cluster.submit(buffer.program(), lock_out, options=("-n4",))
    job.until_reason("Permission denied")
    assert job.told()[0] == "STAGE_OUT"
    buffer.out.chmod(0o755)
    done = job.finalize()
    assert done.returncode == 0, done.stderr
    assert buffer.arrived() == buffer.expected(job.id)
    job.give_up()
