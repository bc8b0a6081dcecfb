"""Whom the worker becomes, and that it cannot come back."""

import os
import pwd
import signal
from pathlib import Path

import pytest

from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, UsageError
from poststage.finalize import privs
from poststage.finalize.privs import Owner, acting_as, become, owner_of
from tests.finalize.users import OTHER, PLAIN, as_user, root_only, user_only

NOBODY = pwd.getpwnam("nobody")


def owner(path: Path, user: str | None = None, *, trusted: tuple[str, ...] = ()) -> Owner | None:
    return owner_of(os.fsencode(path), user, trusted)


def forked(action: object) -> None:
    """Run `action` in a child that stays root."""
    as_user(action, uid=0)  # type: ignore[arg-type] # a callable


def test_who_is_no_root_becomes_nobody_else(common: Path) -> None:
    def asks() -> None:
        assert owner(common) is None
        assert owner(common, str(os.geteuid())) is None
        with pytest.raises(PermissionRefusedError, match="only root"):
            owner(common, "root")

    as_user(asks)


@root_only
def test_root_becomes_the_owner_of_the_directory(common: Path) -> None:
    os.chown(common, PLAIN, PLAIN)
    found = owner(common)
    assert found is not None
    assert (found.uid, found.gid, found.trusted) == (PLAIN, PLAIN, False)


@root_only
@pytest.mark.parametrize("name", ["nobody", str(NOBODY.pw_uid)])
def test_the_schedulers_word_counts_before_the_directorys_owner(common: Path, name: str) -> None:
    os.chown(common, PLAIN, PLAIN)
    found = owner(common, name)
    assert found is not None
    assert (found.uid, found.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)


@root_only
@pytest.mark.parametrize("name", ["no-such-user", "4294967294999", "\x1b[2J"])
def test_a_user_that_is_not_known_is_wrong_usage(common: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not known here") as caught:
        owner(common, name)
    assert caught.value.message.isprintable()


@root_only
def test_a_directory_that_root_alone_can_write_is_trusted(common: Path) -> None:
    found = owner(common)
    assert found is not None
    assert (found.uid, found.trusted) == (0, True)


@root_only
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_root_refuses_to_stay_root_where_others_can_write(common: Path, mode: int) -> None:
    path = common / "state"
    path.mkdir()
    path.chmod(mode)
    for user in (None, "root", "0"):
        with pytest.raises(PermissionRefusedError, match="finalized as root"):
            owner(path, user)


@root_only
def test_the_site_may_name_a_directory_that_is_trusted_all_the_same(common: Path) -> None:
    path = common / "state"
    path.mkdir()
    path.chmod(0o775)
    found = owner(path, trusted=(str(path),))
    assert found is not None
    assert found.trusted
    os.chown(path, PLAIN, PLAIN)
    found = owner(path, trusted=(str(path),))
    assert found is not None
    assert (found.uid, found.trusted) == (PLAIN, False)


@root_only
def test_what_a_symlink_of_a_users_makes_of_a_trusted_name_is_not_trusted(common: Path) -> None:
    (common / "users").mkdir()
    os.chown(common / "users", PLAIN, PLAIN)
    (common / "roots").mkdir()
    (common / "users" / "link").symlink_to(common / "roots")
    with pytest.raises(PermissionRefusedError):
        owner(common / "users" / "link")


@root_only
def test_once_the_owner_it_can_neither_come_back_nor_keep_a_group(common: Path) -> None:
    def drops() -> None:
        become(Owner(PLAIN, PLAIN, "plain"))
        assert os.getresuid() == (PLAIN,) * 3
        assert os.getresgid() == (PLAIN,) * 3
        assert os.getgroups() == [PLAIN]
        with pytest.raises(PermissionError):
            os.setresuid(0, 0, 0)
        with pytest.raises(PermissionError):
            os.setgroups([0])

    del common
    forked(drops)


@root_only
def test_what_it_holds_of_root_s_cannot_be_reached_by_its_user(common: Path) -> None:
    log = common / "log"
    log.write_text("root's\n")
    log.chmod(0o600)
    held, told = os.open(log, os.O_WRONLY | os.O_APPEND), os.pipe()
    pid = os.fork()
    if pid == 0:
        become(Owner(PLAIN, PLAIN, "plain"))
        os.write(told[1], b"x")
        signal.pause()
    os.read(told[0], 1)

    def reaches() -> None:
        for path in (f"/proc/{pid}/fd/{held}", f"/proc/{pid}/mem"):
            with pytest.raises(PermissionError):
                os.open(path, os.O_WRONLY)

    try:
        as_user(reaches)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in (held, *told):
            os.close(fd)


@root_only
def test_the_owner_gets_the_groups_of_its_account() -> None:
    def drops() -> None:
        become(Owner(NOBODY.pw_uid, NOBODY.pw_gid, "nobody"))
        assert set(os.getgroups()) == set(os.getgrouplist("nobody", NOBODY.pw_gid))

    forked(drops)


def test_the_groups_of_a_user_without_an_account_are_its_private_one() -> None:
    assert privs.groups_of(PLAIN) == {PLAIN}
    assert NOBODY.pw_gid in privs.groups_of(NOBODY.pw_uid)


def test_a_directory_that_is_missing_is_wrong_usage(common: Path) -> None:
    if os.geteuid() == 0:
        with pytest.raises(UsageError):
            owner(common / "missing")


@root_only
def test_what_root_makes_as_somebody_else_is_theirs_and_root_is_back_afterwards(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o777)
    dir_fd = fsops.open_dir(bytes(tmp_path))
    with acting_as(PLAIN, OTHER):
        fsops.symlink(b"target", dir_fd, b"theirs")
    fsops.symlink(b"target", dir_fd, b"ours")
    os.close(dir_fd)
    theirs, ours = (os.lstat(tmp_path / name) for name in ("theirs", "ours"))
    assert (theirs.st_uid, theirs.st_gid) == (PLAIN, OTHER)
    assert (ours.st_uid, ours.st_gid) == (0, 0)


@root_only
def test_acting_as_somebody_else_root_may_no_more_than_they(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    dir_fd = fsops.open_dir(bytes(tmp_path))
    with acting_as(PLAIN, PLAIN), pytest.raises(PermissionError):
        fsops.symlink(b"target", dir_fd, b"theirs")
    os.close(dir_fd)


@user_only
def test_a_plain_user_cannot_act_as_somebody_else() -> None:
    with pytest.raises(PermissionError), acting_as(0, 0):
        pass
