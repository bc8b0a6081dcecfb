"""On a file system that shares extents, a copy takes no time and no room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.copier.settling import copy_file
from tests.copier.test_engine import Case, Witness, write_layout

EVERYTHING = 1 << 62  # bytes in a piece: nobody wants it in parts


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh XFS on a loop device."""
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("needs root and mkfs.xfs")
    folder = tmp_path_factory.mktemp("xfs")
    image, mount = folder / "image", folder / "mount"
    mount.mkdir()
    image.touch()
    os.truncate(image, 512 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mount], check=False).returncode:
        pytest.skip("no loop device here")
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.fixture
def case(xfs: Path) -> Iterator[Case]:
    made = Case(xfs)
    made.target.unlink(missing_ok=True)
    yield made
    made.close()


def free_blocks(path: Path) -> int:
    """How much room the file system has, in its blocks."""
    os.sync()
    return os.statvfs(path).f_bfree


def test_a_whole_file_is_cloned_and_costs_no_room(case: Case) -> None:
    write_layout(case.source, [True, False] * 500, 5)
    before = free_blocks(case.source)
    assert copy_file(case.order(), Witness(piece=EVERYTHING)).how == "clone"
    assert case.target.read_bytes() == case.source.read_bytes()
    assert before - free_blocks(case.source) < 100


def test_a_file_that_somebody_wants_piece_by_piece_is_not_cloned(case: Case) -> None:
    write_layout(case.source, [True] * 100, 5)
    assert copy_file(case.order(), Witness(piece=100_000)).how == "range"
    assert case.target.read_bytes() == case.source.read_bytes()
