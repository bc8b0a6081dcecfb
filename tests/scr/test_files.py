"""SCR's files: a tree, nothing, or one clear error; the list of ranks is whole or damaged."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.durable import fsops
from poststage.errors import StateFileError
from poststage.scr.files import read_ranks, read_tree
from tests.axl.lay import pack
from tests.scr.prefix import Nested, Prefix, pairs


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = fsops.open_dir(os.fsencode(tmp_path))
    yield fd
    os.close(fd)


def lay(path: Path, tree: Nested) -> None:
    path.write_bytes(pack(pairs(tree)))


def test_what_is_not_there_is_none(dir_fd: int) -> None:
    assert read_tree(dir_fd, b"flush.scr") is None
    assert read_ranks(dir_fd) is None


def test_a_link_a_fifo_and_a_directory_are_not_read(dir_fd: int, tmp_path: Path) -> None:
    lay(tmp_path / "real", {"A": 1})
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in (b"fifo", b"directory"):
        with pytest.raises(StateFileError, match="not a regular file"):
            read_tree(dir_fd, name)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="symbolic"):
        read_tree(dir_fd, b"link")


def test_in_a_trusted_directory_only_the_trusted_owner_is_believed(
    dir_fd: int, tmp_path: Path
) -> None:
    lay(tmp_path / "flush.scr", {"A": 1})
    assert read_tree(dir_fd, b"flush.scr", trusted_uid=os.geteuid()) is not None
    with pytest.raises(StateFileError, match="belongs to uid"):
        read_tree(dir_fd, b"flush.scr", trusted_uid=os.geteuid() + 1)


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_ranks_and_files_come_from_all_parts_of_the_list(tmp_path: Path, parts: int) -> None:
    prefix = Prefix(tmp_path / "p")
    prefix.add(1, ranks=5, files=2, parts=parts)
    fd = fsops.open_dir(os.fsencode(prefix.directory(1)))
    found = read_ranks(fd)
    os.close(fd)
    assert found is not None
    assert found.ranks == 5
    assert [len(found.files[rank]) for rank in range(5)] == [2, 2, 2, 2, 0]
    assert b"ckpt.1/rank_0.1.ckpt" in found.files[0]


@pytest.mark.parametrize(
    ("root", "part", "says"),
    [
        ({}, {"LEVEL": 0, "RANK": {"0": {}}}, "RANKS is missing"),
        ({"RANKS": "x"}, {"LEVEL": 0, "RANK": {"0": {}}}, "not a number"),
        ({"RANKS": 2}, {"LEVEL": 0, "RANK": {"0": {}}}, "1 of 2 ranks"),
        ({"RANKS": 1}, {"LEVEL": 0, "RANK": {"0": {}, "1": {}}}, "2 of 1 ranks"),
        ({"RANKS": 1}, {"LEVEL": 0, "RANK": {"zero": {}}}, "zero is not a number"),
        ({"RANKS": 1}, {"LEVEL": 1, "RANK": {"0": {}}}, "0 of 1 ranks"),
        ({"RANKS": 1}, {"RANK": {"0": {}}}, "0 of 1 ranks"),
    ],
)
def test_a_list_that_does_not_add_up_is_damage(
    dir_fd: int, tmp_path: Path, root: Nested, part: Nested, says: str
) -> None:
    lay(tmp_path / "rank2file", root)
    lay(tmp_path / "rank2file.0.0", part)
    lay(tmp_path / "rank2file.0.x", {"LEVEL": 0, "RANK": {"7": {}}})
    with pytest.raises(StateFileError, match=says):
        read_ranks(dir_fd)


def test_a_rank_that_is_listed_twice_is_damage(dir_fd: int, tmp_path: Path) -> None:
    lay(tmp_path / "rank2file", {"RANKS": 1})
    for name in ("rank2file.0.0", "rank2file.0.1"):
        lay(tmp_path / name, {"LEVEL": 0, "RANK": {"0": {}}})
    with pytest.raises(StateFileError, match="listed twice"):
        read_ranks(dir_fd)
