"""Jobs of a plain user on a real Slurm, finalized at stage-out by the product's hook."""

import pytest

from tests.slurm.buffer import RANKS, Buffer
from tests.slurm.cluster import Cluster, Job, until
from tests.slurm.installed import install

SLOW_MB_S = "0.05"  # until it is cleared
BIG = "--size 600000"  # 4.2 MB in all


def is_over_and_exact(job: Job, buffer: Buffer) -> None:
    """All that the job wrote stands at the destination, and nothing else."""
    job.until_over()
    expected = buffer.expected(job.id)
    assert len(expected) == 2 * RANKS, job.output()
    assert buffer.arrived() == expected
    assert job.told() == ("COMPLETED", "None")


def test_a_job_s_output_stands_exact_when_its_stage_out_is_over(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = cluster.submit(buffer.program(), options=("-n4",))
    is_over_and_exact(job, buffer)


def test_the_node_is_free_for_others_while_finalize_waits(cluster: Cluster, buffer: Buffer) -> None:
    buffer.fault("--limit", SLOW_MB_S)
    job = cluster.submit(buffer.program(more=BIG), options=("-n4",))
    job.until("STAGE_OUT")
    until(job.finalizers, bool, "no finalizer runs")
    assert cluster.command("sinfo", "-h", "-o", "%T").strip() == "idle"
    buffer.fault("--clear")
    is_over_and_exact(job, buffer)


def test_ranks_that_srun_started_with_pmi2_hand_over_as_one_job(
    cluster: Cluster, buffer: Buffer
) -> None:
    launcher = f"srun --mpi=pmi2 -n {RANKS}"
    job = cluster.submit(buffer.program(launcher=launcher), options=("-n4",))
    is_over_and_exact(job, buffer)


def test_ranks_that_srun_started_with_pmix_hand_over_as_one_job(
    cluster: Cluster, buffer: Buffer
) -> None:
    bin_dir = install(cluster.top / "opt-openmpi", "openmpi")
    launcher = f"srun --mpi=pmix -n {RANKS}"
    path = f"export PATH={bin_dir}:$PATH"
    job = cluster.submit(path, buffer.program(launcher=launcher), options=("-n4",))
    is_over_and_exact(job, buffer)


def test_srun_without_pmi_is_refused_and_nothing_is_recorded(
    cluster: Cluster, buffer: Buffer
) -> None:
    job = cluster.submit(buffer.program(launcher=f"srun -n {RANKS}"), options=("-n4",))
    job.until_over()
    assert "each takes itself for rank 0 of 1" in job.output()
    assert not list(job.state_dir.rglob("*.state"))
    assert not buffer.arrived()


def test_an_array_s_tasks_are_finalized_each_by_itself(cluster: Cluster, buffer: Buffer) -> None:
    array = cluster.submit(
        f"date > {buffer.bb}/$SLURM_ARRAY_TASK_ID",
        f"poststage out {buffer.bb}/$SLURM_ARRAY_TASK_ID {buffer.out}/",
        options=("-n1", "--array=1-2"),
        directive=f"statedir={cluster.home}/state/%A.%a",
    )
    named = cluster.command("squeue", "-ht", "all", "-r", "-j", array.id, "-o", "%A").split()
    for number in named:
        Job(cluster, number).until_over()
    assert set(buffer.arrived()) == {"1", "2"}
    assert {path.name for path in (cluster.home / "state").glob(f"{array.id}.*")} == {
        f"{array.id}.1",
        f"{array.id}.2",
    }


def test_each_step_of_a_job_hands_over_for_itself(cluster: Cluster, buffer: Buffer) -> None:
    steps = [
        f"date > {buffer.bb}/{name}\n"
        f"srun --mpi=pmi2 -n 2 poststage out --dataset {name} {buffer.bb}/{name} {buffer.out}/"
        for name in ("first", "second")
    ]
    job = cluster.submit(*steps, options=("-n2",))
    job.until_over()
    assert set(buffer.arrived()) == {"first", "second"}, job.output()
    assert {path.name for path in job.state_dir.glob("*.report.json")} == {
        "first.report.json",
        "second.report.json",
    }


def test_what_is_asked_for_may_stand_on_several_lines(cluster: Cluster, buffer: Buffer) -> None:
    buffer.fault("--fail", "data.2")
    directive = f"statedir={cluster.home}/state/%j\n#BB_LUA publish=dataset"
    job = cluster.submit(buffer.program(), options=("-n4",), directive=directive)
    job.until_reason("data.2")
    assert all(name.endswith(".poststage") for name in buffer.arrived())
    job.give_up()


def test_a_job_that_hands_nothing_over_is_soon_done(cluster: Cluster) -> None:
    cluster.submit("true", options=("-n1",)).until_over()


@pytest.mark.parametrize(
    ("directive", "fact"),
    [
        ("statdir=/x", "option statdir is not known"),
        ("statedir=x", "statedir=x is not an absolute path"),
        ("statedir=/x/%q", "knows %j %A %a %u %% only"),
        ("statedir=/x publish=all", "publish=all is neither file nor dataset"),
    ],
)
def test_a_directive_that_makes_no_sense_is_refused_at_submission(
    cluster: Cluster, directive: str, fact: str
) -> None:
    script = f"#!/bin/bash\n#BB_LUA {directive}\ntrue\n"
    (cluster.top / "wrong.sh").write_text(script)
    done = cluster.try_command("sbatch", "--uid=nobody", cluster.top / "wrong.sh")
    assert done.returncode != 0
    assert fact in done.stderr
