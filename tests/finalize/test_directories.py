"""Directories get their modes last, and are made only where that can be meant."""

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from poststage.backends.base import Answer
from poststage.durable import fsops
from poststage.finalize.apply import finish_directories
from poststage.finalize.dirs import Dirs
from poststage.finalize.work import Work
from poststage.model import Entry, Kind, TransferState, Verdict
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.users import OTHER, PLAIN, as_user, root_only

CLOSED = (0o555, 0o500, 0o111, 0o000, 0o1444)
OPEN = (0o755, 0o2770, 0o300, 0o1777)


def directory(house: House, name: str, mode: int, index: int = 0, *, made: bool = True) -> Entry:
    """A recorded directory; as its agent made it, if `made`."""
    if made:
        (house.dst / name).mkdir(mode=0o700)
    return house.entry(name, index, kind=Kind.DIRECTORY, mode=mode, size=0)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [*CLOSED, *OPEN])
def test_each_mode_is_exact_when_nothing_is_left_to_publish(house: House, mode: int) -> None:
    entry = directory(house, "sub", mode)
    (found,) = h.settle(house.job(entry), last=True)
    assert (found.verdict, found.changed) == (Verdict.PUBLISHED, True)
    assert mode_of(house.dst / "sub") == mode


@pytest.mark.parametrize("mode", CLOSED)
def test_a_mode_that_shuts_its_owner_out_waits_for_the_files_of_others(
    house: House, mode: int
) -> None:
    job = house.job(directory(house, "sub", mode))
    (found,) = h.settle(job, last=False)
    assert found.verdict is Verdict.RUNNING
    assert mode_of(house.dst / "sub") == 0o700


@pytest.mark.parametrize("mode", [*CLOSED, *OPEN])
def test_a_second_run_changes_nothing_even_where_it_may_not_look_inside(
    common: Path, mode: int
) -> None:
    """As a plain user: a directory without permissions cannot be opened to be looked at."""
    if os.geteuid() == 0:
        os.chown(common, PLAIN, PLAIN)

    def runs() -> None:
        house = House(common)
        job = house.job(directory(house, "sub", mode))
        h.settle(job)
        before = h.snapshot(house.dst)
        (found,) = h.settle(house.loaded())
        assert (found.verdict, found.changed) == (Verdict.PUBLISHED, False)
        assert h.snapshot(house.dst) == before
        (house.dst / "sub").chmod(0o700)

    as_user(runs)


def test_files_come_before_the_mode_and_inner_directories_before_outer(house: House) -> None:
    outer = directory(house, "a", 0o555)
    inner = directory(house, "a/b", 0o500, 1)
    file = house.entry("a/b/f", 2)
    house.moved(file)
    assert h.verdicts(house.job(outer, inner, file)) == [Verdict.PUBLISHED] * 3
    assert (mode_of(house.dst / "a"), mode_of(house.dst / "a/b")) == (0o555, 0o500)


def test_a_tree_that_nobody_came_to_make_is_made_in_one_run_parents_first(house: House) -> None:
    """An agent that was killed before it made directories had no file to start."""
    entries = [
        directory(house, "a", 0o555, 0, made=False),
        directory(house, "a/b", 0o500, 1, made=False),
        house.entry("a/b/l", 2, kind=Kind.SYMLINK, target=b"x", size=0, mode=0o777),
        directory(house, "a/empty", 0o2750, 3, made=False),
    ]
    assert h.verdicts(house.job(*entries)) == [Verdict.PUBLISHED] * 4
    assert os.readlink(house.dst / "a/b/l") == "x"
    modes = [mode_of(house.dst / name) for name in ("a", "a/b", "a/empty")]
    assert modes == [0o555, 0o500, 0o2750]


def test_above_a_directory_that_is_not_there_nothing_is_made(house: House) -> None:
    """It may be on a file system that is not mounted."""
    job = house.job(directory(house, "gone/sub", 0o755, made=False))
    (found,) = h.settle(job)
    assert found.verdict is Verdict.UNKNOWN
    assert h.names_in(house.dst) == set()


@pytest.mark.parametrize("state", [TransferState.UNKNOWN, TransferState.INPROGRESS])
def test_nothing_is_made_before_the_transfer_has_ended(house: House, state: TransferState) -> None:
    job = house.job(directory(house, "sub", 0o755, made=False), answer=Answer(state))
    assert not h.settle(job)[0].verdict.final
    assert h.names_in(house.dst) == set()


def test_a_cancelled_transfer_makes_no_directory_and_finishes_what_is_there(house: House) -> None:
    there = directory(house, "there", 0o750, 0)
    gone = directory(house, "gone", 0o750, 1, made=False)
    answer = Answer(TransferState.CANCELED, reason="cancelled")
    found = h.settle(house.job(there, gone, answer=answer))
    assert [one.verdict for one in found] == [Verdict.PUBLISHED, Verdict.FAILED]
    assert mode_of(house.dst / "there") == 0o750
    assert not (house.dst / "gone").exists()


def test_a_directory_that_stood_there_before_is_left_as_it_is(house: House) -> None:
    (house.dst / "sub").mkdir(mode=0o711)
    entry = house.entry(
        "sub", 0, kind=Kind.DIRECTORY, mode=0o777, prior=h.identity(house.dst / "sub")
    )
    before = h.snapshot(house.dst)
    assert h.verdicts(house.job(entry)) == [Verdict.PUBLISHED]
    assert h.snapshot(house.dst) == before


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_what_took_a_directorys_name_is_a_conflict_and_left_alone(house: House, kind: str) -> None:
    path = house.dst / "sub"
    entry = directory(house, "sub", 0o777, made=False)
    if kind == "file":
        h.put(path, b"x", mode=0o600)
    else:
        (house.dst / "real").mkdir(mode=0o700)
        path.symlink_to("real")
    before = h.snapshot(house.dst)
    assert h.verdicts(house.job(entry)) == [Verdict.CONFLICT]
    assert h.snapshot(house.dst) == before


def test_held_back_directories_keep_the_mode_in_which_files_can_come(house: House) -> None:
    job = house.job(directory(house, "sub", 0o755), directory(house, "new", 0o755, 1, made=False))
    assert {one.verdict for one in h.settle(job, hold=True)} == {Verdict.RUNNING}
    assert mode_of(house.dst / "sub") == 0o700
    assert not (house.dst / "new").exists()


def test_a_directory_of_two_parts_is_finished_by_both(house: House) -> None:
    first = house.job(directory(house, "sub", 0o555), part=0, parts=2)
    second = house.job(directory(house, "sub", 0o555, made=False), part=1, parts=2)
    found = h.settle(first, second)
    assert [one.verdict for one in found] == [Verdict.PUBLISHED] * 2
    assert mode_of(house.dst / "sub") == 0o555


@root_only
@pytest.mark.parametrize("restores", [True, False])
def test_owners_of_directories_are_restored_where_owners_are(house: House, restores: bool) -> None:
    entry = house.entry("sub", kind=Kind.DIRECTORY, mode=0o2750, uid=PLAIN, gid=OTHER)
    (house.dst / "sub").mkdir(mode=0o700)
    job = house.job(entry)
    with closing(Dirs(fsops.open_dir)) as dirs:
        work = Work(dirs, lambda: False, restore_owners=restores)
        finish_directories([job], work, last=True)
    info = (house.dst / "sub").stat()
    assert (info.st_uid, info.st_gid) == ((PLAIN, OTHER) if restores else (0, 0))
    assert stat.S_IMODE(info.st_mode) == 0o2750


def test_where_none_of_the_files_can_be_seen_no_directory_is_made(house: House) -> None:
    """The destination's file system may not be mounted: its bare mount point stays bare."""
    made = directory(house, "sub", 0o755, made=False)
    file = house.entry("sub/f", 1)
    first, second = h.settle(house.job(made, file), last=True)
    assert (first.verdict, second.verdict) == (Verdict.UNKNOWN, Verdict.UNKNOWN)
    assert "mounted" in first.reason
    assert not (house.dst / "sub").exists()
