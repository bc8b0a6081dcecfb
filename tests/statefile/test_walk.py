"""Finding state files: in order, never through a symlink, never in a dot directory."""

import os
from pathlib import Path

from poststage.durable import fsops
from poststage.statefile import walk


def test_directories_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("step.10", "step.9", "step.100", "a"):
        (tmp_path / name).mkdir()
    fd = fsops.open_dir(bytes(tmp_path))
    assert walk.dataset_dirs(fd) == [b"a", b"step.9", b"step.10", b"step.100"]
    os.close(fd)


def test_symlinks_dot_directories_and_files_are_no_datasets(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / ".local").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real.report.json").touch()
    fd = fsops.open_dir(bytes(tmp_path))
    assert walk.dataset_dirs(fd) == [b"real"]
    os.close(fd)


def test_only_state_files_are_found_and_in_the_order_of_parts(tmp_path: Path) -> None:
    for name in ("10.state", "9.state", "1.done", "note", ".0.state", "0.state.new"):
        (tmp_path / name).touch()
    fd = fsops.open_dir(bytes(tmp_path))
    assert walk.state_files(fd) == [b"1.done", b"9.state", b"10.state"]
    os.close(fd)


def test_names_of_any_bytes_are_found(tmp_path: Path) -> None:
    os.mkdir(bytes(tmp_path) + b"/\xff\n")
    fd = fsops.open_dir(bytes(tmp_path))
    assert walk.dataset_dirs(fd) == [b"\xff\n"]
    os.close(fd)


def test_parts_of_a_large_dataset_are_named_with_their_directory(tmp_path: Path) -> None:
    for name in ("0.parts/1.state", "1.parts/256.state", "1.parts/x/1.state", "other/1.state"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "2.parts").symlink_to("other")
    fd = os.open(tmp_path, os.O_RDONLY)
    assert walk.state_files(fd) == [b"0.parts/1.state", b"1.parts/256.state"]
    os.close(fd)
