"""Reading a STATEDIR for people: one file at a time, whatever is in it."""

import os
from pathlib import Path

import pytest

from poststage.cli import survey
from poststage.errors import UsageError
from poststage.model import Verdict
from tests.cli.run import done, failed, put, running
from tests.vectors.words import HEAD, entry, recorded, verdict


def parts(state_dir: Path) -> list[survey.Part]:
    """Every part below `state_dir`."""
    with survey.open_state_dir(state_dir) as fd:
        return [
            one for group, _ in survey.groups(state_dir) for one in survey.read_group(fd, group)
        ]


def test_a_file_is_summed_up_in_numbers(tmp_path: Path) -> None:
    kinds = [entry(), entry("symlink", b"s", target="x"), entry("directory", b"d")]
    put(tmp_path / "x" / "0.state", HEAD, *kinds, recorded(3))
    (one,) = parts(tmp_path)
    assert (one.files, one.size_bytes, one.open_entries, one.moving) == (2, 12, 3, True)
    assert (one.open_directories, one.closed) == (1, False)


def test_directories_are_counted_as_finalize_counts_them(tmp_path: Path) -> None:
    kinds = [entry(), entry("directory", b"d"), entry("directory", b"e"), recorded(3)]
    ends = [verdict(0, "published", count=2), verdict(2, "failed", reason="no space")]
    put(tmp_path / "x" / "0.state", HEAD, *kinds, *ends)
    put(tmp_path / "y" / "0.done", HEAD, *kinds, verdict(0, "published", count=3))
    open_part, done_part = parts(tmp_path)
    assert open_part.verdicts == {Verdict.PUBLISHED: 1, Verdict.FAILED: 1}
    assert done_part.verdicts == {Verdict.PUBLISHED: 1}


def test_what_is_set_aside_is_published_whatever_verdicts_it_carries(tmp_path: Path) -> None:
    running(tmp_path, "x").rename(tmp_path / "x" / "0.done")
    (one,) = parts(tmp_path)
    assert (one.done, one.closed, one.moving) == (True, True, False)
    assert one.verdicts == {Verdict.PUBLISHED: 1}


def test_parts_come_by_number_open_ones_and_others(tmp_path: Path) -> None:
    for number in (10, 9, 0):
        done(tmp_path, "x", number, 11)
    failed(tmp_path, "x", 2, 11)
    assert [one.name for one in parts(tmp_path)] == [b"0.done", b"2.state", b"9.done", b"10.done"]


@pytest.mark.parametrize("plant", ["symlink", "fifo", "directory"])
def test_what_is_no_regular_file_is_a_value_and_hangs_nobody(tmp_path: Path, plant: str) -> None:
    path = done(tmp_path, "x").parent / "1.state"
    if plant == "symlink":
        path.symlink_to("0.done")
    elif plant == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    found = {one.name: one.damage for one in parts(tmp_path)}
    assert found.pop(b"0.done") == ""
    assert all(found.values())


def test_a_directory_that_was_swapped_for_a_symlink_is_not_entered(tmp_path: Path) -> None:
    running(tmp_path / "elsewhere", "x")
    running(tmp_path / "state", "x")
    (group, _), *_ = survey.groups(tmp_path / "state")
    (tmp_path / "state" / "x").rename(tmp_path / "state" / ".away")
    (tmp_path / "state" / "x").symlink_to(tmp_path / "elsewhere" / "x")
    with survey.open_state_dir(tmp_path / "state") as fd:
        (one,) = survey.read_group(fd, group)
    assert one.damage


def test_a_statedir_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="no such file"),
        survey.open_state_dir(tmp_path / "none"),
    ):
        pytest.fail("opened")
