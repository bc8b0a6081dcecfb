"""A SlurmUser that is not root becomes the job's owner by sudo, with README's own rules."""

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.buffer import Buffer
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import hook, prepare
from tests.slurm.installed import ROOT

USER = "slurm"
README = ROOT / "site-configs" / "slurm-lua" / "README.md"
RULES = Path("/etc/sudoers.d/poststage-test")


def rules(bin_dir: Path) -> str:
    """The lines for sudoers, as README has them."""
    text = README.read_text(encoding="utf-8").replace("/opt/poststage/bin", str(bin_dir))
    found = re.findall(r"`((?:slurm ALL|Defaults!)[^`]*)`", text)
    assert len(found) == 2
    return "".join(f"{line}\n" for line in found)


@pytest.fixture
def by_sudo(cluster: Cluster) -> Iterator[Cluster]:
    """A second cluster, whose SlurmUser is not root. CI alone: it writes into sudoers.d."""
    if os.environ.get("CI") != "true":
        pytest.skip("writes into /etc/sudoers.d; only where CI=true")
    assert shutil.which("sudo"), "CI needs sudo"
    top = Path(tempfile.mkdtemp(prefix="psudo-", dir="/var/tmp"))
    top.chmod(0o755)
    one = Cluster(top, cluster.bin, slurm_user=USER)
    try:
        prepare(one)
        os.chown(one.spool, pwd.getpwnam(USER).pw_uid, -1)
        RULES.write_text(rules(cluster.bin))
        RULES.chmod(0o440)
        one.up()
        one.use_hook(hook(one, "become=sudo"))
        yield one
    finally:
        one.down()
        RULES.unlink(missing_ok=True)
        shutil.rmtree(top, ignore_errors=True)


def test_a_slurmuser_that_is_not_root_finalizes_as_the_owner(by_sudo: Cluster) -> None:
    buffer = Buffer(by_sudo)
    buffer.start()
    try:
        job = by_sudo.submit(buffer.program(), options=("-n4",))
        job.until_over()
        assert buffer.arrived() == buffer.expected(job.id), job.output() + job.log()
        assert len(buffer.arrived()) == 8
    finally:
        buffer.stop()
