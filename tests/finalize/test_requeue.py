"""A job that goes back to the queue: nothing is published, in the way, or lost."""

import os
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from poststage.finalize import finalize_dir
from poststage.finalize.requeue import put_aside
from poststage.finalize.scan import scan
from tests.finalize.house import Vendor

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
