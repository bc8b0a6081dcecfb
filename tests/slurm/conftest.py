"""One cluster for all tests of a session, a burst buffer of the user, and jobs to run on it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster as clusters
from tests.slurm.buffer import Buffer
from tests.slurm.cluster import GID, UID, Cluster
from tests.slurm.installed import ROOT, install

_SITE = """
[site]
name = "test cluster"
backend = "emulator"
allowed_backends = ["emulator"]
state_root = "{top}/registered"

[scheduler]
name = "slurm"

[backend.emulator]
root = "{top}/home/emulator"
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Slurm with the product's hook, as README has it registered."""
    why = clusters.missing()
    if why and os.geteuid() == 0 and os.environ.get("CI") == "true":
        pytest.fail(f"CI needs the test cluster: {why}")
    if why:
        pytest.skip(why)
    top = Path(tempfile.mkdtemp(prefix="pslurm-", dir="/var/tmp"))
    try:
        top.chmod(0o755)
        yield from _running(top)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _running(top: Path) -> Iterator[Cluster]:
    one = Cluster(top, install(top / "opt", "mpich"))
    prepare(one)
    try:
        one.up()
        one.use_hook(hook(one))
        yield one
    finally:
        one.down()


def prepare(one: Cluster) -> None:
    """Directories, settings and the program of a cluster that is not up yet."""
    top = one.top
    for name, mode in (("home", 0o755), ("registered", 0o1777), ("spool", 0o700)):
        (top / name).mkdir()
        (top / name).chmod(mode)
    os.chown(one.home, UID, GID)
    shutil.copyfile(ROOT / "tests" / "slurm" / "program.py", top / "program.py")
    Path(one.site).write_text(_SITE.format(top=top))
    use_epilog(one, "exit 0")


def hook(one: Cluster, *changes: str) -> str:
    """The product's hook with this site's paths, and more settings of its own."""
    more = [word for change in (f"spool={one.spool}", *changes) for word in ("--set", change)]
    return one.command(
        one.bin / "poststage", "site", "hook", "slurm-lua", "--site", one.site, *more
    )


def use_epilog(one: Cluster, body: str) -> None:
    """What EpilogSlurmctld runs at the end of each job."""
    path = one.top / "epilog"
    path.with_suffix(".new").write_text(f"#!/bin/bash\n{body}\n")
    path.with_suffix(".new").chmod(0o755)
    path.with_suffix(".new").rename(path)


@pytest.fixture
def buffer(cluster: Cluster) -> Iterator[Buffer]:
    """The user's burst buffer, served by the emulator; a new one for each test."""
    one = Buffer(cluster)
    one.start()
    try:
        yield one
    finally:
        one.stop()
