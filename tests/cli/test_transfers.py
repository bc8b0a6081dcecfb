"""`poststage wait` and `poststage cancel` on real transfers."""

import json
import os
from pathlib import Path

import pytest

from tests.agent.conftest import state_of
from tests.mpi.conftest import Site, emulator, own_site, site

__all__ = ["emulator", "own_site", "site"]


@pytest.fixture
def slow(own_site: Site) -> Site:
    """A site with one transfer under way that takes long."""
    (own_site.bb / "large").write_bytes(bytes(60_000_000))
    own_site.emulate("fault", "--limit", "1")
    done = own_site.run("poststage", "out", "--dataset", "set", "bb/large", "pfs/large")
    assert done.returncode == 0, done.stderr
    return own_site


def test_waiting_ends_when_all_have_arrived(slow: Site) -> None:
    slow.emulate("fault", "--clear")
    done = slow.run("poststage", "wait", "--dir", "state")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "set part 0: FULLSUCCESS\n"


def test_waiting_in_vain_says_run_again(slow: Site) -> None:
    done = slow.run("poststage", "wait", "--dir", "state", "--timeout", "0.05")
    assert done.returncode == 75
    assert "set part 0: INPROGRESS" in done.stderr


def test_waiting_for_nothing_is_done(site: Site) -> None:
    site.state_dir.mkdir()
    done = site.run("poststage", "wait")
    assert done.returncode == 0
    assert done.stderr == "no open transfers\n"


def test_waiting_where_nothing_is_is_wrong(site: Site) -> None:
    done = site.run("poststage", "wait", "--dir", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_failed_transfer_needs_a_person(own_site: Site) -> None:
    (own_site.bb / "one").write_text("x")
    own_site.emulate("fault", "--fail", "one")
    own_site.run("poststage", "out", "--dataset", "set", "bb/one", "pfs/one")
    done = own_site.run("poststage", "wait", "--json")
    assert done.returncode == 3
    (said,) = json.loads(done.stdout)
    assert (said["dataset"], said["part"], said["state"]) == ("set", 0, "FAILED")


def test_a_damaged_state_file_is_said_and_the_others_are_waited_for(slow: Site) -> None:
    slow.emulate("fault", "--clear")
    (slow.state_dir / "bad").mkdir()
    (slow.state_dir / "bad/0.state").write_text("garbage\n" * 10_000)
    done = slow.run("poststage", "wait")
    assert done.returncode == 65
    assert "bad/0.state" in done.stderr
    assert "set part 0: FULLSUCCESS" in done.stderr


def test_a_backend_that_is_away_is_not_rounded_to_success(slow: Site) -> None:
    slow.emulate("stop")
    done = slow.run("poststage", "wait", "--timeout", "0.05")
    assert done.returncode == 75
    assert "UNKNOWN" in done.stderr


def test_waiting_changes_nothing(slow: Site) -> None:
    before = (slow.state_dir / "set/0.state").read_bytes()
    slow.run("poststage", "wait", "--timeout", "0")
    assert (slow.state_dir / "set/0.state").read_bytes() == before


def test_cancelling_stops_the_backend_and_finalize_cleans_up(slow: Site) -> None:
    done = slow.run("poststage", "cancel")
    assert done.returncode == 0, done.stderr
    assert "set part 0: CANCELED" in done.stderr
    assert "next: finalize" in done.stderr
    assert state_of(slow.state_dir / "set/0.state").cancelled
    again = slow.run("poststage", "cancel")
    assert again.returncode == 0
    assert slow.finalize().returncode == 3
    assert list(slow.pfs.iterdir()) == []
    assert (slow.bb / "large").stat().st_size == 60_000_000


def test_cancelling_takes_one_dataset(slow: Site) -> None:
    assert slow.run("poststage", "cancel", "--dataset", "other").returncode == 2
    assert not state_of(slow.state_dir / "set/0.state").cancelled


def test_a_wish_that_the_backend_does_not_hear_is_recorded(slow: Site) -> None:
    slow.emulate("stop")
    done = slow.run("poststage", "cancel")
    assert done.returncode == 75
    assert "UNKNOWN" in done.stderr
    assert state_of(slow.state_dir / "set/0.state").cancelled


def test_what_has_arrived_is_not_undone_by_a_cancel(site: Site) -> None:
    (site.bb / "one").write_text("x")
    site.run("poststage", "out", "--wait", "--dataset", "set", "bb/one", "pfs/one")
    done = site.run("poststage", "cancel")
    assert done.returncode == 0
    assert "FULLSUCCESS" in done.stderr
    assert site.finalize().returncode == 0
    assert (site.pfs / "one").read_text() == "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="about root")
def test_root_waits_as_the_owner(site: Site, tmp_path: Path) -> None:
    site.state_dir.mkdir()
    site.state_dir.chmod(0o777)  # root's, and anybody's to write
    done = site.run("poststage", "wait")
    assert done.returncode == 77
