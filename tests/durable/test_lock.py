"""Locks: one holder at a time, always with a deadline, gone with their process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poststage.durable.lock import held, try_lock
from poststage.errors import RunAgainError

_HOLD = """
import sys
from pathlib import Path
from poststage.durable.lock import held
with held(Path(sys.argv[1]), timeout_s=0, what="x"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock `path` until its stdin ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.parametrize("timeout_s", [0.0, 0.2, -5.0])
def test_a_lock_that_is_held_elsewhere_is_an_error_at_the_deadline(
    tmp_path: Path, timeout_s: float
) -> None:
    path = tmp_path / ".lock"
    with (
        holder(path),
        pytest.raises(RunAgainError, match=r"STATEDIR: .*\.lock; nothing was touched"),
        held(path, timeout_s=timeout_s, what="STATEDIR"),
    ):
        pytest.fail("two holders")


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with holder(path) as process:
        process.kill()
        process.wait()
        with held(path, timeout_s=0, what="STATEDIR"):
            pass


def test_the_lock_file_stays_so_that_nobody_locks_a_name_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with held(path, timeout_s=0, what="x"):
        inode = path.stat().st_ino
    with held(path, timeout_s=0, what="x"):
        assert path.stat().st_ino == inode
    assert path.exists()


def test_a_lock_file_that_is_there_is_not_changed_by_locking_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_bytes(b"whatever")
    os.utime(path, ns=(1, 2))
    before, above = path.stat(), tmp_path.stat()
    with held(path, timeout_s=0, what="x"):
        pass
    assert path.stat() == before
    assert tmp_path.stat() == above


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_who_locks_the_directory_for_lack_of_room_keeps_out_who_finds_room_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".lock"
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, "nr_inodes=1", "none", tmp_path], check=True)
    try:
        with holder(path) as process:
            assert not path.exists()
            for room in ("1", "9"):
                subprocess.run([*mount, f"remount,nr_inodes={room}", tmp_path], check=True)
                with pytest.raises(RunAgainError), held(path, timeout_s=0, what="x"):
                    pytest.fail("two holders")
            process.kill()
        with holder(path), pytest.raises(RunAgainError), held(path, timeout_s=0, what="x"):
            pytest.fail("two holders")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_what_is_planted_under_the_locks_name_is_neither_followed_nor_emptied(
    tmp_path: Path,
) -> None:
    path, precious = tmp_path / ".lock", tmp_path / "precious"
    precious.write_bytes(b"kept")
    path.symlink_to(precious)
    with pytest.raises(OSError, match=r"."), held(path, timeout_s=0, what="x"):
        pytest.fail("locked through a symlink")
    path.unlink()
    path.hardlink_to(precious)
    with held(path, timeout_s=0, what="x"):
        pass
    assert precious.read_bytes() == b"kept"


def test_an_error_in_the_block_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(ZeroDivisionError), held(path, timeout_s=0, what="x"):
        _ = 1 // 0
    with held(path, timeout_s=0, what="x"):
        pass


def test_an_open_file_is_locked_against_other_openings_of_it(tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    path.touch()
    one, other = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    assert try_lock(one)
    assert try_lock(one)
    assert not try_lock(other)
    os.close(one)
    assert try_lock(other)
    os.close(other)
