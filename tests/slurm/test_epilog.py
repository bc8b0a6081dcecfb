"""EpilogSlurmctld, for sites without burst_buffer/lua: jobs that say nothing and are found."""

from collections.abc import Iterator

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import use_epilog


@pytest.fixture
def _epilog(cluster: Cluster) -> Iterator[None]:
    text = cluster.command(
        cluster.bin / "poststage",
        "site",
        "hook",
        "slurm-epilog",
        "--site",
        cluster.site,
        "--set",
        f"log={cluster.top}/epilog.log",
        "--set",
        f"conf={cluster.env['SLURM_CONF']}",
    )
    use_epilog(cluster, text.partition("\n")[2])
    yield
    use_epilog(cluster, "exit 0")


@pytest.mark.usefixtures("_epilog")
def test_what_a_job_registered_is_finalized_after_it_has_ended(
    cluster: Cluster, buffer: Buffer
) -> None:
    state = cluster.home / "state" / "epilog"
    job = cluster.submit(
        f"export POSTSTAGE_STATE_DIR={state}",
        buffer.program(),
        options=("-n4",),
        directive="",
        burst_buffer=False,
    )
    job.until("COMPLETED")
    log = cluster.top / "epilog.log" / f"{job.id}.log"
    until(
        lambda: (list(state.rglob("*.done")), log.read_text() if log.exists() else "-"),
        lambda found: len(found[0]) == 4,
        "not finalized",
    )
    until(log.read_text, lambda text: "exit status 0: all done" in text, "it does not end")
    assert buffer.arrived() == buffer.expected(job.id)
    assert not [
        path
        for path in (cluster.top / "registered").iterdir()
        if path.name.startswith(job.id + "@")
    ]
