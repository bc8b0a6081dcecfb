"""The walk to a directory: for root, no step that somebody else could lead astray."""

import os
import re
from contextlib import closing, suppress
from pathlib import Path

import pytest

from poststage import names
from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, PoststageError
from poststage.finalize.dirs import Dirs, Walk, open_roots_alone, open_unswappable
from tests.finalize.users import OTHER, PLAIN, root_only


def is_at(fd: int, path: Path) -> bool:
    """Whether `fd` is `path`; closes it."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    finally:
        os.close(fd)


def made(path: Path, uid: int, mode: int = 0o755) -> Path:
    path.mkdir(parents=True)
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


def test_each_directory_is_opened_once_while_there_are_not_too_many(tmp_path: Path) -> None:
    opened: list[bytes] = []

    def opener(path: bytes) -> int:
        opened.append(path)
        return fsops.open_dir(path)

    many = [tmp_path / str(index) for index in range(260)]
    for one in many:
        one.mkdir()
    with closing(Dirs(opener)) as dirs:
        for one in [*many[:200], *many[:200]]:
            assert is_at(os.dup(dirs.fd(os.fsencode(one))), one)
        assert len(opened) == 200
        for one in [*many, many[0]]:
            assert is_at(os.dup(dirs.fd(os.fsencode(one))), one)
        assert len(opened) == 261  # the first was let go of, and is opened again


def walked(path: bytes) -> int:
    """`open_unswappable`, with which a walk from a parent that is known agrees."""
    walk = Walk()
    try:
        with suppress(OSError, PoststageError):
            os.close(walk.open(names.split(path)[0] + b"/poststage-no-such-name"))
        with suppress(OSError, PoststageError):
            os.close(walk.open(path))
        found = open_unswappable(path)
        fd = walk.open(path)
        assert os.path.sameopenfile(fd, found)
        os.close(fd)
    except (OSError, PoststageError) as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            walk.open(path)
        raise
    finally:
        walk.close()
    return found


def test_closed_it_leaves_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with closing(Dirs()) as dirs:
        dirs.fd(os.fsencode(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


@root_only
def test_root_walks_where_root_alone_or_one_user_alone_can_lead(common: Path) -> None:
    made(common / "roots" / "deeper", 0)
    made(common / "users", PLAIN)
    made(common / "users" / "own", PLAIN)
    for name in ("roots/deeper", "users", "users/own"):
        assert is_at(walked(os.fsencode(common / name)), common / name)


@root_only
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_root_takes_no_step_out_of_a_directory_that_others_can_write(
    common: Path, mode: int
) -> None:
    made(common / "open" / "inside", 0)
    (common / "open").chmod(mode)
    with pytest.raises(PermissionRefusedError, match="others can write"):
        walked(os.fsencode(common / "open" / "inside"))


@root_only
def test_root_steps_into_what_is_in_a_sticky_directory_of_its_own(common: Path) -> None:
    made(common / "tmp" / "users", PLAIN)
    (common / "tmp").chmod(0o1777)
    assert is_at(walked(os.fsencode(common / "tmp/users")), common / "tmp/users")


@root_only
@pytest.mark.parametrize("uid", [0, OTHER])
def test_root_takes_no_step_from_one_users_directory_into_anothers(common: Path, uid: int) -> None:
    made(common / "users", PLAIN)
    made(common / "users" / "not own", uid)
    with pytest.raises(PermissionRefusedError, match="belongs to uid"):
        walked(os.fsencode(common / "users" / "not own"))


@root_only
def test_root_follows_no_symlink_of_a_user(common: Path) -> None:
    made(common / "victim", 0)
    made(common / "users", PLAIN)
    (common / "users" / "link").symlink_to(common / "victim")
    os.chown(common / "users" / "link", PLAIN, PLAIN, follow_symlinks=False)
    with pytest.raises(OSError, match=r"symbolic|directory"):
        walked(os.fsencode(common / "users" / "link"))


@root_only
def test_root_follows_a_symlink_of_its_own_where_only_root_makes_names(common: Path) -> None:
    made(common / "real", 0)
    (common / "link").symlink_to("real")
    assert is_at(walked(os.fsencode(common / "link")), common / "real")
    (common / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic"):
        walked(os.fsencode(common / "loop"))


@root_only
@pytest.mark.parametrize(("uid", "mode"), [(PLAIN, 0o755), (0, 0o775), (0, 0o757), (0, 0o1777)])
def test_a_directory_is_roots_alone_only_if_nobody_else_can_write_it(
    common: Path, uid: int, mode: int
) -> None:
    made(common / "good", 0)
    assert is_at(open_roots_alone(os.fsencode(common / "good")), common / "good")
    made(common / "bad", uid, mode)
    with pytest.raises(PermissionRefusedError):
        open_roots_alone(os.fsencode(common / "bad"))


@root_only
def test_a_directory_below_a_users_is_never_roots_alone(common: Path) -> None:
    made(common / "users", PLAIN)
    made(common / "users" / "roots", 0)
    with pytest.raises(PermissionRefusedError):
        open_roots_alone(os.fsencode(common / "users" / "roots"))
