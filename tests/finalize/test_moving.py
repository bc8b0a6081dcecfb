"""Moved files: a source goes only when a complete copy stands under its destination's name."""

import os
from pathlib import Path

import pytest

from poststage.finalize.dirs import Dirs
from poststage.finalize.moving import drop_sources
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Kind, Verdict
from tests.finalize.house import ATIME_NS, MTIME_NS, NEW, House, put, read, settle


class Moving:
    """A house whose entries have sources that are there."""

    def __init__(self, house: House, top: Path) -> None:
        self.house, self.bb = house, top / "bb"
        self.bb.mkdir()

    def entry(self, name: str = "f", index: int = 0, source: str = "f", **changes: object) -> Entry:
        """A recorded file whose source is there as recorded and whose temp file is whole."""
        path = self.bb / source
        if not path.exists():
            put(path, NEW, mtime_ns=MTIME_NS)
        entry = self.house.entry(name, index, source=os.fsencode(path), **changes)
        self.house.moved(entry)
        return entry

    def job(self, *entries: Entry, move: bool = True) -> Job:
        self.house.write(*entries, move=move)
        return self.house.loaded()

    def run(self, job: Job, *, hold: bool = False, stopped: bool = False) -> None:
        """As a window does: apply, then the sources."""
        settle(job, hold=hold)
        dirs = Dirs()
        drop_sources([job], Work(dirs, lambda: stopped, hold=hold))
        dirs.close()

    def sources(self) -> set[str]:
        return set(os.listdir(self.bb))


@pytest.fixture
def moving(house: House, tmp_path: Path) -> Moving:
    return Moving(house, tmp_path)


def test_the_source_of_a_published_file_is_deleted(moving: Moving) -> None:
    job = moving.job(moving.entry())
    moving.run(job)
    assert moving.sources() == set()
    assert read(moving.house.dst / "f") == NEW


def test_without_move_it_stays(moving: Moving) -> None:
    job = moving.job(moving.entry(), move=False)
    moving.run(job)
    assert moving.sources() == {"f"}


def test_the_source_of_what_is_not_published_stays(moving: Moving) -> None:
    entry = moving.entry()
    put(moving.house.dst / os.fsdecode(entry.temp), NEW[:3])
    job = moving.job(entry)
    moving.run(job)
    assert job.verdict(0) is not Verdict.PUBLISHED
    assert moving.sources() == {"f"}


def test_the_source_of_a_conflict_stays(moving: Moving) -> None:
    put(moving.house.dst / "f", b"somebody's")
    job = moving.job(moving.entry())
    moving.run(job)
    assert moving.sources() == {"f"}


def test_one_source_of_two_destinations_goes_when_both_are_published(moving: Moving) -> None:
    both = moving.entry("a", 0), moving.entry("b", 1)
    moving.run(moving.job(*both))
    assert moving.sources() == set()
    assert read(moving.house.dst / "a") == read(moving.house.dst / "b") == NEW


def test_one_source_of_two_destinations_stays_while_one_is_not_published(moving: Moving) -> None:
    both = moving.entry("a", 0), moving.entry("b", 1)
    put(moving.house.dst / os.fsdecode(both[1].temp), NEW[:3])
    moving.run(moving.job(*both))
    assert moving.sources() == {"f"}


@pytest.mark.parametrize("change", ["content", "time", "kind"])
def test_a_source_that_was_changed_since_is_kept(moving: Moving, change: str) -> None:
    job = moving.job(moving.entry())
    source = moving.bb / "f"
    if change == "content":
        put(source, NEW + b"more", mtime_ns=MTIME_NS)
    elif change == "time":
        put(source, NEW, mtime_ns=MTIME_NS + 1)
    else:
        source.unlink()
        source.symlink_to("elsewhere")
    moving.run(job)
    assert moving.sources() == {"f"}


def test_a_destination_that_is_the_source_is_never_deleted(moving: Moving) -> None:
    entry = moving.house.entry(source=os.fsencode(moving.house.dst / "f"))
    moving.house.moved(entry)
    moving.run(moving.job(entry))
    assert read(moving.house.dst / "f") == NEW


def test_where_the_destination_was_taken_away_since_the_source_stays(moving: Moving) -> None:
    job = moving.job(moving.entry())
    settle(job)
    (moving.house.dst / "f").unlink()
    dirs = Dirs()
    drop_sources([job], Work(dirs, lambda: False))
    dirs.close()
    assert moving.sources() == {"f"}


def test_a_source_out_of_reach_is_no_fault(moving: Moving) -> None:
    job = moving.job(moving.entry())
    (moving.bb / "f").unlink()
    moving.bb.rmdir()
    moving.run(job)
    assert job.verdict(0) is Verdict.PUBLISHED


def test_held_back_nothing_is_deleted(moving: Moving) -> None:
    job = moving.job(moving.entry())
    moving.run(job, hold=True)
    assert moving.sources() == {"f"}


def test_stopped_in_between_the_next_run_deletes_it(moving: Moving) -> None:
    job = moving.job(moving.entry())
    moving.run(job, stopped=True)
    assert (moving.sources(), job.verdict(0)) == ({"f"}, Verdict.RUNNING)
    moving.run(moving.house.loaded())
    assert moving.sources() == set()


def test_a_symlink_is_moved_like_a_file_and_not_what_it_points_to(moving: Moving) -> None:
    put(moving.bb / "target", NEW)
    source = moving.bb / "link"
    source.symlink_to("target")
    os.utime(source, ns=(ATIME_NS, MTIME_NS), follow_symlinks=False)
    entry = moving.house.entry(
        "l", kind=Kind.SYMLINK, target=b"target", source=os.fsencode(source), mode=0o777
    )
    moving.run(moving.job(entry))
    assert moving.sources() == {"target"}
    assert os.readlink(moving.house.dst / "l") == "target"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may delete everywhere")
def test_a_source_that_may_not_be_deleted_is_told_and_the_record_stays_open(
    moving: Moving,
) -> None:
    job = moving.job(moving.entry())
    moving.bb.chmod(0o500)
    moving.run(job)
    moving.bb.chmod(0o700)
    assert job.verdict(0) is Verdict.UNKNOWN
    assert "deleting its source" in job.outcomes[0].reason
