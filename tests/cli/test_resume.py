"""`poststage resume`: what a job's end stopped goes on where the source is."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.sites import end_daemon
from tests.mpi.conftest import Site

SIZE = 20_000_000


def site_toml(site: Site, limit_mb_s: float) -> None:
    (site.top / "site.toml").write_text(
        '[site]\nbackend = "local"\n[backend.local]\n'
        f"progress_mb = 1\nidle_s = 5.0\nlimit_mb_s = {limit_mb_s}\n"
    )


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Site]:
    """A site without a vendor, whose job has ended in the middle of a transfer."""
    site = Site(tmp_path, tmp_path / "no emulator")
    (site.bb / "large").write_bytes(os.urandom(SIZE))
    site_toml(site, 2.0)
    done = site.run("poststage", "out", "--dataset", "set", "bb/large", "pfs/large")
    assert done.returncode == 0, done.stderr
    root = site.state_dir / ".local" / os.uname().nodename
    assert end_daemon(root, signal.SIGTERM)
    yield site
    end_daemon(root)


def test_a_stopped_transfer_goes_on(stopped: Site) -> None:
    waited = stopped.run("poststage", "wait")
    assert waited.returncode == 75, waited.stderr
    assert "STOPPED" in waited.stderr
    site_toml(stopped, 0.0)
    done = stopped.run("poststage", "resume")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 open transfers were stopped and go on" in done.stderr
    assert stopped.run("poststage", "wait").returncode == 0
    assert stopped.finalize().returncode == 0
    assert (stopped.pfs / "large").read_bytes() == (stopped.bb / "large").read_bytes()


def test_resuming_again_does_nothing(stopped: Site) -> None:
    site_toml(stopped, 0.0)
    stopped.run("poststage", "resume")
    stopped.run("poststage", "wait")
    again = stopped.run("poststage", "resume", "--json")
    assert again.returncode == 0
    assert "0 of 1 open transfers were stopped" in again.stderr
    assert [one["state"] for one in json.loads(again.stdout)] == ["FULLSUCCESS"]


def test_nothing_to_resume_is_done(tmp_path: Path) -> None:
    site = Site(tmp_path, tmp_path / "no emulator")
    site.state_dir.mkdir()
    done = site.run("poststage", "resume")
    assert done.returncode == 0
    assert done.stderr == "no open transfers\n"
