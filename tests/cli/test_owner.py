"""Root becomes the owner of a STATEDIR before it reads a byte of it; root's own stays root's."""

import os
from pathlib import Path

import pytest

from poststage import config
from poststage.cli import owner
from poststage.cli.owner import become_owner
from poststage.errors import PermissionRefusedError, PoststageError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="about root")
SETTINGS = config.load(config.PACKAGED)


def in_child(state_dir: Path) -> str:
    """What a child says after becoming the owner of `state_dir`: its uids, or the error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become_owner(state_dir, SETTINGS)
            answer = repr((os.getresuid(), os.getresgid(), os.getgroups()))
        except PoststageError as error:
            answer = f"{type(error).__name__} {os.getuid()}: {error.message}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    answer = os.read(reading, 65536).decode()
    os.close(reading)
    os.waitpid(pid, 0)
    return answer


@ROOT
def test_root_gives_up_everything_for_a_users_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    answer = in_child(tmp_path)
    unreadable = not all(
        os.stat(place).st_mode & 0o001 for path in owner._NEEDED for place in (path, *path.parents)
    )
    if unreadable:
        assert answer.startswith("PermissionRefusedError 12345: ")
        assert "cannot be read by 12345" in answer
    else:
        assert answer == repr(((12345,) * 3, (23456,) * 3, [23456]))


@ROOT
def test_root_stays_root_where_only_root_can_write(tmp_path: Path) -> None:
    assert in_child(tmp_path).startswith("((0, 0, 0)")


@ROOT
def test_root_refuses_a_directory_of_its_own_that_others_can_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionRefusedError, match="nothing was read"):
        become_owner(tmp_path, SETTINGS)


@pytest.mark.skipif(os.geteuid() == 0, reason="about a plain user")
def test_a_plain_user_stays_who_it_is(tmp_path: Path) -> None:
    before = os.getresuid()
    become_owner(tmp_path, SETTINGS)
    assert os.getresuid() == before
