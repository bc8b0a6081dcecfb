"""Directories are made once, private where a mode is to come, and durable when asked."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from poststage.agent import places
from tests.crash.forkserver import REPOSITORY


def b(path: Path) -> bytes:
    return os.fsencode(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _umask() -> None:
    os.umask(0o022)


def test_missing_directories_are_made_and_named_from_the_top(tmp_path: Path) -> None:
    changed = places.make_path(b(tmp_path / "a/b/c"))
    assert changed == [b(tmp_path), b(tmp_path / "a"), b(tmp_path / "a/b")]
    assert mode(tmp_path / "a/b/c") == mode(tmp_path / "a") == 0o755


@pytest.mark.parametrize("below", ["poststage", "poststage/a/b"])
def test_a_directory_that_can_never_be_made_is_an_error_and_no_endless_try(below: str) -> None:
    with pytest.raises((FileNotFoundError, PermissionError)):
        places.make_path(b(Path("/proc", below)))


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o711)
    assert places.make_path(b(tmp_path / "a")) == []
    assert mode(tmp_path / "a") == 0o711


def test_recorded_directories_are_private_and_others_are_not(tmp_path: Path) -> None:
    recorded = [b(tmp_path / "top/tree"), b(tmp_path / "top/tree/sub")]
    changed = places.make_destinations(recorded, [*recorded, b(tmp_path / "other")])
    assert mode(tmp_path / "top") == mode(tmp_path / "other") == 0o755
    assert mode(tmp_path / "top/tree") == mode(tmp_path / "top/tree/sub") == 0o700
    assert set(changed) == {b(tmp_path), b(tmp_path / "top"), b(tmp_path / "top/tree")}


def test_a_recorded_directory_that_is_there_becomes_writable_for_its_owner(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir(mode=0o555)
    assert places.make_destinations([b(tmp_path / "tree")], []) == []
    assert mode(tmp_path / "tree") == 0o755


def test_a_directory_that_is_not_recorded_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir(mode=0o555)
    assert places.make_destinations([], [b(tmp_path / "tree")]) == []
    assert mode(tmp_path / "tree") == 0o555


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        places.make_path(b(tmp_path / "file/below"))


def test_directories_as_deep_as_a_path_can_be_are_made(workshop: Path) -> None:
    top = b(workshop) + b"/deep"
    path = top + b"/d" * ((4000 - len(top)) // 2)
    assert len(places.make_path(path)) == path.count(b"/") - top.count(b"/") + 1
    while path != b(workshop):
        os.rmdir(path)
        path = os.path.dirname(path)


def test_a_dangling_symlink_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        places.make_path(b(tmp_path / "link/below"))


def test_many_processes_can_make_the_same_directories_at_once(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom poststage.agent import places\nsys.stdin.read(1)\n"
        "for i in range(50): places.make_path(os.fsencode(f'{sys.argv[1]}/{i}/a/b'))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    read_end, write_end = os.pipe()
    makers = [
        subprocess.Popen(command, stdin=read_end, cwd=REPOSITORY, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    os.close(read_end)
    os.write(write_end, b"gogogo")
    os.close(write_end)
    assert [maker.communicate()[1] for maker in makers] == [b""] * 3
    assert len(list(tmp_path.glob("*/a/b"))) == 50


def test_a_directory_that_we_may_not_read_is_its_owners_to_sync(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o311)
    places.sync_readable(b(tmp_path / "closed"))
    places.sync_dirs([b(tmp_path)])
    with pytest.raises(FileNotFoundError):
        places.sync_dirs([b(tmp_path / "missing")])
