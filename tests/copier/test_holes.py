"""Where a file has data: as its file system tells it, and all of it where nobody tells."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.copier import holes

MB = 1 << 20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """A file of 4 MB whose third alone is data."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(4 * MB)
        file.seek(2 * MB)
        file.write(b"d" * MB)
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


def test_holes_are_told_of_a_sparse_file_alone(fd: int) -> None:
    assert holes.are_told(fd, 4 * MB)
    os.pwrite(fd, b"d" * 4 * MB, 0)
    os.fsync(fd)
    assert not holes.are_told(fd, 4 * MB)


def test_data_is_found_where_it_is(fd: int) -> None:
    assert holes.next_data(fd, 0, 4 * MB) == (2 * MB, 3 * MB)
    assert holes.next_data(fd, 2 * MB + 5, 4 * MB) == (2 * MB + 5, 3 * MB)
    assert holes.next_data(fd, 3 * MB, 4 * MB) == (4 * MB, 4 * MB)


def test_what_lies_behind_the_size_that_is_asked_for_is_not_told(fd: int) -> None:
    assert holes.next_data(fd, 0, MB) == (MB, MB)
    assert holes.next_data(fd, 2 * MB, 2 * MB + 9) == (2 * MB, 2 * MB + 9)


def test_where_nobody_can_tell_all_is_data() -> None:
    read_fd, write_fd = os.pipe()
    assert holes.next_data(read_fd, 3, 10) == (3, 10)
    os.close(read_fd)
    os.close(write_fd)
