"""A small file is replaced whole: old or new, never a part, whenever the process is killed."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.durable import fsops
from poststage.durable.atomic import replace_file


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    """`tmp_path`, open."""
    fd = fsops.open_dir(bytes(tmp_path))
    yield fd
    os.close(fd)


def test_the_content_is_replaced_and_no_temp_is_left(dir_fd: int, tmp_path: Path) -> None:
    for content in (b"one", b"two" * 10_000, b""):
        replace_file(dir_fd, b"x.json", content)
        assert (tmp_path / "x.json").read_bytes() == content
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_the_mode_is_exact_whatever_the_umask(dir_fd: int, tmp_path: Path, mode: int) -> None:
    old = os.umask(0o077)
    try:
        replace_file(dir_fd, b"x.json", b"", mode=mode)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == mode


def test_a_temp_that_a_crash_left_is_in_nobodys_way(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / ".x.json.new").write_bytes(b"half")
    replace_file(dir_fd, b"x.json", b"whole")
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_planted_symlink_is_replaced_and_never_written_through(
    dir_fd: int, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / "x.json").symlink_to(precious)
    (tmp_path / ".x.json.new").symlink_to(precious)
    replace_file(dir_fd, b"x.json", b"new")
    assert precious.read_bytes() == b"kept"
    assert not (tmp_path / "x.json").is_symlink()


def test_the_longest_name_can_be_replaced(dir_fd: int, tmp_path: Path) -> None:
    replace_file(dir_fd, b"x" * 255, b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


def test_a_directory_in_the_way_is_an_error_and_stays(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(OSError, match=r"."):
        replace_file(dir_fd, b"x.json", b"new")
    assert (tmp_path / "x.json").is_dir()


def test_a_reader_sees_the_old_or_the_new_content_and_nothing_else(
    dir_fd: int, tmp_path: Path
) -> None:
    contents = [bytes([letter]) * 100_000 for letter in b"ab"]
    replace_file(dir_fd, b"x", contents[0])
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "x").read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    for round_ in range(30):
        replace_file(dir_fd, b"x", contents[round_ % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)
