"""site-configs/slurm-lua/README.md, followed word for word on the test cluster."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import Cluster, Job, until
from tests.slurm.conftest import hook
from tests.slurm.installed import ROOT

README = ROOT / "site-configs" / "slurm-lua" / "README.md"


def blocks(cluster: Cluster) -> tuple[str, str, str]:
    """Install, register, job script: as written, but for where this cluster has its directories."""
    text = README.read_text(encoding="utf-8")
    for there, here in {
        "/opt/poststage": cluster.top / "opt",
        "/etc/poststage": cluster.top / "readme",
        "/var/spool/poststage": cluster.spool,
        "/lustre/": f"{cluster.home}/lustre/",
        "/bb/": f"{cluster.home}/bb/",
    }.items():
        text = text.replace(there, str(here))
    found = re.findall(r"```(?:sh|bash)\n(.*?)```", text, flags=re.DOTALL)
    return found[0], found[1], found[2]


@pytest.fixture
def _site(cluster: Cluster) -> Iterator[None]:
    """The cluster's own hook and settings are back afterwards."""
    conf = cluster.slurm / "etc" / "burst_buffer.conf"
    before = conf.read_text()
    yield
    conf.write_text(before)
    cluster.use_hook(hook(cluster))
    cluster.command("scontrol", "reconfigure")


@pytest.mark.usefixtures("_site")
def test_a_newcomer_who_follows_it_gets_a_plain_user_s_files_finalized(
    cluster: Cluster, buffer: Buffer
) -> None:
    install, register, script = blocks(cluster)
    # The first two lines have been followed by the cluster's installation, from the checkout.
    venv, pip, *rest = install.splitlines()
    assert "-m venv" in venv
    assert "pip install" in pip
    site = cluster.top / "readme" / "site.toml"
    run(cluster, [*rest[:-1]], site)
    emulator = f'\n[backend.emulator]\nroot = "{cluster.home}/emulator"\n'
    site.write_text(site.read_text().replace('to = "syslog"', 'to = "none"') + emulator)
    run(cluster, [rest[-1], *register.splitlines()], site)
    cluster.command("scontrol", "reconfigure")
    path = cluster.top / "readme" / "job.sh"
    path.write_text(script)
    who = ("--uid=nobody", "--gid=nogroup", f"--output={cluster.home}/out.%j")
    env = {"POSTSTAGE_SITE": str(site), "USER": "nobody"}
    done = cluster.try_command("sbatch", "--parsable", *who, path, **env)
    assert done.returncode == 0, done.stderr
    job = Job(cluster, done.stdout.strip())
    job.until_over()
    expected = (buffer.bb / "nobody" / "run" / "result").read_bytes()
    published = cluster.home / "lustre" / "nobody" / "run" / "result"
    assert published.read_bytes() == expected, job.output() + job.log()
    assert published.stat().st_uid == 65534
    state = cluster.home / "lustre" / "nobody" / "poststage" / job.id
    until(lambda: list(state.glob("*.report.json")), bool, "no report")


def run(cluster: Cluster, lines: list[str], site: Path) -> None:
    """Run README's lines as the admin."""
    program = "set -eu\n" + "\n".join(lines) + "\n"
    done = cluster.try_command("bash", "-c", program, POSTSTAGE_SITE=str(site))
    assert done.returncode == 0, (program, done.stdout, done.stderr)
