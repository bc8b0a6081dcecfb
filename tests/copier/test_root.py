"""A root's own things: made once, kept, and read back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.copier import root as roots
from poststage.errors import RunAgainError


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = roots.open_root(tmp_path / "root")
    yield fd
    os.close(fd)


def test_a_root_is_made_for_its_owner_alone(root_fd: int) -> None:
    assert os.fstat(root_fd).st_mode & 0o7777 == 0o700


def test_the_identity_is_made_once(root_fd: int) -> None:
    made = roots.identity(root_fd)
    assert len(made) == 8
    assert roots.identity(root_fd) == made


def test_the_lock_has_one_holder_and_names_it(tmp_path: Path, root_fd: int) -> None:
    root = tmp_path / "root"
    assert roots.is_free(root)
    with roots.locked(root, root_fd):
        roots.write_holder(root_fd)
        assert not roots.is_free(root)
        with (
            pytest.raises(RunAgainError, match=f"pid {os.getpid()} on "),
            roots.locked(root, root_fd),
        ):
            pass
    assert roots.is_free(root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid":1}'])
def test_a_holder_that_cannot_be_read_is_nobody(
    tmp_path: Path, root_fd: int, content: bytes
) -> None:
    assert roots.holder(root_fd) is None
    (tmp_path / "root" / "daemon.json").write_bytes(content)
    assert roots.holder(root_fd) is None


def test_a_root_without_a_transfer_is_removed_with_all_that_a_daemon_makes(
    tmp_path: Path, root_fd: int
) -> None:
    os.close(roots.open_queue(root_fd))
    roots.identity(root_fd)
    with roots.locked(tmp_path / "root", root_fd):
        roots.write_holder(root_fd)
    folder_fd = os.open(tmp_path, os.O_RDONLY)
    assert roots.remove_if_empty(folder_fd, b"root")
    os.close(folder_fd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("left", "removed"), [("queue/x.journal", False), ("notes", True)])
def test_a_transfer_keeps_its_root_and_a_strangers_file_its_directory(
    tmp_path: Path, root_fd: int, left: str, removed: bool
) -> None:
    os.close(roots.open_queue(root_fd))
    roots.identity(root_fd)
    (tmp_path / "root" / left).write_text("kept")
    folder_fd = os.open(tmp_path, os.O_RDONLY)
    assert roots.remove_if_empty(folder_fd, b"root") is removed
    os.close(folder_fd)
    assert (tmp_path / "root" / left).read_text() == "kept"
    assert (tmp_path / "root" / "id").exists() is not removed
