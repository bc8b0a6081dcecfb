"""Jobs that meet: themselves in a second run, another on the same destination, a dependent one."""

from tests.slurm.buffer import Buffer, files
from tests.slurm.cluster import Cluster, until

BIG = "--size 600000"


def test_a_requeued_job_publishes_nothing_of_its_first_run_and_all_of_its_second(
    cluster: Cluster, buffer: Buffer
) -> None:
    first_waits = '[ "${SLURM_RESTART_COUNT:-0}" != 0 ] || sleep 300'
    job = cluster.submit(buffer.program(), first_waits, options=("-n4",))
    until(job.output, lambda text: text.count("handed over") == 4, "not handed over")
    first = buffer.expected(job.id)
    cluster.command("scontrol", "requeue", job.id)
    aside = job.state_dir / ".requeued-1"
    until(aside.exists, bool, "the first run is not put aside")
    job.until("PENDING")
    assert not [name for name in buffer.arrived() if name in first]
    # slurmd takes no credential of the second in which it has revoked the job's first one.
    cluster.command("scontrol", "update", f"JobId={job.id}", "StartTime=now+2")
    job.until_over()
    published = {name: fact for name, fact in buffer.arrived().items() if name in first}
    assert published == buffer.expected(job.id), job.output() + job.log()
    assert len(list(aside.rglob("*.state"))) == 4
    assert job.drop_earlier_runs() == 1
    assert not [path for path in files(buffer.out) if path.name.endswith(".poststage")]


def test_two_jobs_on_one_destination_lose_no_byte_of_either(
    cluster: Cluster, buffer: Buffer
) -> None:
    buffer.fault("--limit", "0.05")
    jobs = [
        cluster.submit(buffer.program(more=f"--size {size}"), options=("-n4",))
        for size in (500_000, 600_000)
    ]
    for job in jobs:
        until(job.output, lambda text: text.count("handed over") == 4, "not handed over")
    buffer.fault("--clear")
    told = until(
        lambda: [job.told() for job in jobs],
        lambda told: (
            not {"RUNNING", "COMPLETING"} & {state for state, _ in told}
            and not any("in progress" in reason for _, reason in told)
        ),
        "stage-out does not end",
    )
    assert "conflict" in " ".join(reason for _, reason in told)
    written = [fact["content"] for job in jobs for fact in buffer.expected(job.id).values()]
    assert sorted(fact["content"] for fact in buffer.arrived().values()) == sorted(written)
    for job in jobs:
        job.give_up()


def test_a_job_that_depends_on_the_burst_buffer_starts_when_all_is_published(
    cluster: Cluster, buffer: Buffer
) -> None:
    buffer.fault("--limit", "1")
    first = cluster.submit(buffer.program(more=BIG), options=("-n4",))
    after = f"--dependency=afterburstbuffer:{first.id}"
    second = cluster.submit(f"find {buffer.out} -type f | wc -l", options=("-n1", after))
    second.until_over()
    assert second.output().strip() == "8"
    assert buffer.arrived() == buffer.expected(first.id)
