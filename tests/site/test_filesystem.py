"""What a file system can do is tried out, and nothing of that is left."""

import os
from pathlib import Path

import pytest

from poststage.site import filesystem
from poststage.site.finding import Level

MEMORY = Path("/dev/shm")


def test_a_local_file_system_has_all_that_is_needed(tmp_path: Path) -> None:
    found = list(filesystem.checks(os.fsencode(tmp_path)))
    assert len(found) == 9
    assert not [one for one in found if one.level is Level.WRONG]
    facts = {one.fact for one in found}
    assert {"syncfs works", "flock works on this node", "names of 255 bytes"} <= facts


def test_nothing_is_left(tmp_path: Path) -> None:
    list(filesystem.checks(os.fsencode(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_is_given_up_leaves_nothing_either(tmp_path: Path) -> None:
    checks = filesystem.checks(os.fsencode(tmp_path))
    next(checks)
    del checks
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    (one,) = filesystem.checks(os.fsencode(tmp_path / "none"))
    assert one.level is Level.WRONG
    assert "No such file or directory" in one.fact


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (one,) = filesystem.checks(os.fsencode(tmp_path))
    assert one.level is Level.WRONG


def test_a_file_system_without_a_step_is_told_by_what_it_lacks() -> None:
    """proc has neither renames nor new files."""
    (one,) = filesystem.checks(b"/proc/self")
    assert one.level is Level.WRONG
