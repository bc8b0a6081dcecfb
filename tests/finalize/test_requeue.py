"""A job that goes back to the queue: nothing is published, in the way, or lost."""

import os
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from poststage.finalize import finalize_dir
from poststage.finalize.requeue import put_aside
from poststage.finalize.scan import scan
from tests.finalize.house import House, Vendor

STATE, DONE = "0.state", "1.done"


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A dataset with something pending and one without, in a STATEDIR with a copier's queue."""
    top = tmp_path / "state"
    for name in ("open/0.state", "open/1.done", "whole/0.done", ".local/host/queue"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"")
    (top / "open.report.json").write_text("{}")
    return top


def aside(top: Path) -> str:
    return put_aside(top, list(scan(os.fsencode(top), [])))


def test_what_is_on_record_is_put_aside_as_a_statedir_of_its_own(state_dir: Path) -> None:
    words = aside(state_dir)
    assert f"{state_dir}/.requeued-1" in words
    found = {str(path.relative_to(state_dir)) for path in state_dir.rglob("*") if path.is_file()}
    assert found == {
        ".requeued-1/open/0.state",
        ".requeued-1/open/1.done",
        ".requeued-1/open.report.json",
        ".requeued-1/.local/host/queue",
        ".requeued-1/whole/0.done",
    }


def test_a_second_time_it_is_put_elsewhere(state_dir: Path) -> None:
    aside(state_dir)
    (state_dir / "open").mkdir()
    (state_dir / "open" / STATE).write_bytes(b"second")
    assert ".requeued-2" in aside(state_dir)
    assert (state_dir / ".requeued-1" / "open" / STATE).read_bytes() == b""
    assert (state_dir / ".requeued-2" / "open" / STATE).read_bytes() == b"second"


def test_nothing_on_record_changes_nothing(state_dir: Path) -> None:
    aside(state_dir)
    before = sorted(state_dir.rglob("*"))
    assert "nothing on record" in aside(state_dir)
    assert sorted(state_dir.rglob("*")) == before


def test_state_files_of_statedir_itself_are_put_aside_too(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"")
    (tmp_path / DONE).write_bytes(b"")
    aside(tmp_path)
    assert (tmp_path / ".requeued-1" / STATE).exists()
    assert (tmp_path / ".requeued-1" / DONE).exists()


def test_a_run_that_knows_of_the_requeue_publishes_nothing(state_dir: Path, vendor: Vendor) -> None:
    report = finalize_dir(state_dir, vendor.options(requeued=True))
    assert report.exit_code is ExitCode.OK
    assert report.datasets == ()
    assert "goes back to the queue" in report.notes[0]
    assert not list(state_dir.glob("open*"))


def records(top: Path) -> set[str]:
    """Where the state files are."""
    return {str(path.relative_to(top)) for path in top.rglob("*.state")}


def shared(house: House) -> Path:
    """A STATEDIR of jobs 7 and 8: one dataset each, one of both, and the copiers' queues."""
    house.write(dataset="mine", job="7")
    house.write(dataset="theirs", job="8")
    house.write(dataset="both", job="7", part=0, parts=2)
    house.write(dataset="both", job="8", part=1, parts=2)
    house.write(dataset="nobodys")
    (house.state / ".local" / "host").mkdir(parents=True)
    for name in ("mine", "theirs"):
        (house.state / f"{name}.report.json").write_text("{}")
    return house.state


def test_what_another_job_recorded_in_the_same_statedir_stays(house: House) -> None:
    top = shared(house)
    words = put_aside(top, list(scan(os.fsencode(top), [])), "7")
    assert "what other jobs recorded is left alone" in words
    aside = {"mine/0.state", "both/0.state", "nobodys/0.state"}
    assert records(top / ".requeued-1") == aside
    assert {one for one in records(top) if not one.startswith(".")} == {
        "theirs/0.state",
        "both/1.state",
    }
    assert (top / ".requeued-1" / "mine.report.json").exists()
    assert (top / "theirs.report.json").exists()


def test_the_copiers_queues_stay_with_the_other_jobs_and_are_seen_from_both(house: House) -> None:
    top = shared(house)
    put_aside(top, list(scan(os.fsencode(top), [])), "7")
    assert (top / ".local" / "host").is_dir()
    assert (top / ".requeued-1" / ".local" / "host").is_dir()


def test_a_job_that_has_nothing_on_record_puts_nothing_of_others_aside(house: House) -> None:
    house.write(dataset="theirs", job="8")
    before = sorted(house.state.rglob("*"))
    assert "nothing on record" in put_aside(
        house.state, list(scan(os.fsencode(house.state), [])), "7"
    )
    assert sorted(house.state.rglob("*")) == before


@pytest.mark.parametrize(("beside", "moved"), [("7", True), ("8", False)])
def test_a_damaged_state_file_goes_where_no_other_job_s_stands(
    house: House, beside: str, moved: bool
) -> None:
    house.write(dataset="one", job="7", part=0, parts=2)
    house.write(dataset="one", job=beside, part=1, parts=2)
    (house.state / "one" / "2.state").write_bytes(b"damaged\n")
    put_aside(house.state, list(scan(os.fsencode(house.state), [])), "7")
    assert (house.state / ".requeued-1" / "one" / "2.state").exists() is moved
    assert (house.state / ".requeued-1" / "one" / "0.state").exists()


def test_a_run_for_a_job_puts_that_job_s_aside(house: House, vendor: Vendor) -> None:
    top = shared(house)
    report = finalize_dir(top, vendor.options(requeued=True, job="8"))
    assert report.exit_code is ExitCode.OK
    assert "theirs/0.state" in records(top / ".requeued-1")
    assert "mine/0.state" in records(top)
