"""Single operations on real files: by one name in an open directory, never through a symlink."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poststage.durable import fsops

NAMES = [b"plain", b"new\nline", b"\xff\xfe", b"x" * 255, b"-rf", b" "]


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    """`tmp_path`, open."""
    fd = fsops.open_dir(bytes(tmp_path))
    yield fd
    os.close(fd)


def put(directory: Path, name: bytes, content: bytes = b"") -> bytes:
    """A file `name` in `directory`; its path."""
    path = os.path.join(bytes(directory), name)
    Path(os.fsdecode(path)).write_bytes(content)
    return path


def read(directory: Path, name: bytes) -> bytes:
    """The contents of `name`."""
    return Path(os.fsdecode(os.path.join(bytes(directory), name))).read_bytes()


# ---- opening -------------------------------------------------------------------------------


def test_a_directory_behind_a_symlink_is_not_opened(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    os.close(fsops.open_subdir(dir_fd, b"real"))
    with pytest.raises(OSError, match=r".") as caught:
        fsops.open_subdir(dir_fd, b"link")
    assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}


def test_a_file_behind_a_symlink_is_not_opened(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"real")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match=r".") as caught:
        fsops.open_file(dir_fd, b"link")
    assert caught.value.errno == errno.ELOOP


def test_a_fifo_that_nobody_writes_is_opened_at_once(dir_fd: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = fsops.open_file(dir_fd, b"fifo")
    assert not fsops.is_regular(os.fstat(fd))
    os.close(fd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_opened_for_its_attributes(
    dir_fd: int, tmp_path: Path
) -> None:
    os.chmod(put(tmp_path, b"secret"), 0)
    fd = fsops.open_file(dir_fd, b"secret")
    assert fsops.is_path_only(fd)
    fsops.set_mode(fd, 0o640)
    os.close(fd)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o640


def test_create_never_opens_what_has_the_name_already(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"file", b"old")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in (b"file", b"dangling"):
        with pytest.raises(FileExistsError):
            fsops.create(dir_fd, name, mode=0o600)
    assert read(tmp_path, b"file") == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_a_fifo_in_the_place_of_a_log_is_an_error_and_not_waited_for(
    dir_fd: int, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        fsops.open_append(dir_fd, b"log", mode=0o600)


def test_a_temp_file_that_is_there_is_opened_as_it_is(dir_fd: int, tmp_path: Path) -> None:
    os.chmod(put(tmp_path, b"temp", b"half"), 0o444)
    fd = fsops.open_temp(dir_fd, b"temp", mode=0o600)
    os.close(fd)
    assert read(tmp_path, b"temp") == b"half"
    assert stat.S_IMODE((tmp_path / "temp").stat().st_mode) == 0o444


def test_a_new_temp_file_has_the_mode_less_the_umask(dir_fd: int, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        os.close(fsops.open_temp(dir_fd, b"temp", mode=0o666))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "temp").stat().st_mode) == 0o640


def test_a_temp_name_that_is_a_symlink_is_not_written_through(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"precious", b"kept")
    (tmp_path / "temp").symlink_to("precious")
    with pytest.raises(OSError, match=r".") as caught:
        fsops.open_temp(dir_fd, b"temp", mode=0o600)
    assert caught.value.errno == errno.ELOOP


# ---- attributes ----------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_PATH])
@pytest.mark.parametrize("times", [(0, 0), (-1, -1_000_000_001), (1_600_000_000_123_456_789, 7)])
def test_times_are_exact_in_ns_also_before_1970_and_on_unreadable_files(
    tmp_path: Path, flags: int, times: tuple[int, int]
) -> None:
    path = put(tmp_path, b"file")
    fd = os.open(path, flags)
    fsops.set_times(fd, *times)
    os.close(fd)
    info = os.stat(path)
    assert (info.st_atime_ns, info.st_mtime_ns) == times


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_PATH])
@pytest.mark.parametrize("mode", [0, 0o444, 0o4755, 0o2711, 0o1777, 0o7777])
def test_every_mode_bit_is_set_and_survives_owner_then_mode(
    tmp_path: Path, flags: int, mode: int
) -> None:
    path = put(tmp_path, b"file")
    fd = os.open(path, flags)
    fsops.set_owner(fd, os.geteuid(), os.getegid())
    fsops.set_mode(fd, mode)
    os.close(fd)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_PATH])
def test_root_gives_a_file_to_another_owner(tmp_path: Path, flags: int) -> None:
    path = put(tmp_path, b"file")
    fd = os.open(path, flags)
    fsops.set_owner(fd, 12345, 23456)
    os.close(fd)
    info = os.stat(path)
    assert (info.st_uid, info.st_gid) == (12345, 23456)


def test_a_symlinks_own_times_are_set_and_its_target_is_left_alone(
    dir_fd: int, tmp_path: Path
) -> None:
    before = os.stat(put(tmp_path, b"target"))
    fsops.symlink(b"target", dir_fd, b"link")
    fsops.set_link_times(dir_fd, b"link", 5, -6)
    fsops.set_link_owner(dir_fd, b"link", os.geteuid(), os.getegid())
    info = os.lstat(tmp_path / "link")
    assert (info.st_atime_ns, info.st_mtime_ns) == (5, -6)
    after = os.stat(tmp_path / "target")
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


# ---- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_publish_moves_the_very_file(dir_fd: int, tmp_path: Path, name: bytes) -> None:
    inode = os.stat(put(tmp_path, b".temp", b"new")).st_ino
    fsops.publish(dir_fd, b".temp", name)
    seen = fsops.facts(dir_fd, name)
    assert seen is not None
    assert seen.st_ino == inode
    assert fsops.facts(dir_fd, b".temp") is None


def _file(directory: Path) -> None:
    put(directory, b"taken", b"old")


def _symlink(directory: Path) -> None:
    (directory / "taken").symlink_to("nowhere")


def _directory(directory: Path) -> None:
    (directory / "taken").mkdir()


@pytest.mark.parametrize("occupy", [_file, _symlink, _directory])
def test_publish_replaces_nothing_whatever_stands_there(
    dir_fd: int, tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    put(tmp_path, b".temp", b"new")
    occupy(tmp_path)
    before = os.lstat(tmp_path / "taken")
    with pytest.raises(FileExistsError):
        fsops.publish(dir_fd, b".temp", b"taken")
    assert os.path.samestat(before, os.lstat(tmp_path / "taken"))
    assert read(tmp_path, b".temp") == b"new"


def test_two_files_swap_names_in_one_step(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"a", b"1")
    put(tmp_path, b"b", b"2")
    if not fsops.exchange(dir_fd, b"a", b"b"):
        pytest.skip("this filesystem does not swap names")
    assert (read(tmp_path, b"a"), read(tmp_path, b"b")) == (b"2", b"1")


def test_moving_into_another_directory_replaces_nothing(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = fsops.open_subdir(dir_fd, b"other")
    put(tmp_path, b"file", b"1")
    fsops.move_into(dir_fd, b"file", other, b"new")
    put(tmp_path, b"file", b"2")
    with pytest.raises(FileExistsError):
        fsops.move_into(dir_fd, b"file", other, b"new")
    os.close(other)
    assert read(tmp_path / "other", b"new") == b"1"


def test_a_link_is_a_further_name_of_the_symlink_itself(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"target")
    fsops.symlink(b"target", dir_fd, b"soft")
    fsops.link(dir_fd, b"soft", dir_fd, b"hard")
    assert fsops.is_symlink(os.lstat(tmp_path / "hard"))


def test_a_link_that_cannot_be_because_the_name_is_taken_is_an_error(
    dir_fd: int, tmp_path: Path
) -> None:
    put(tmp_path, b"a")
    assert fsops.try_link(dir_fd, b"a", b"b")
    with pytest.raises(FileExistsError):
        fsops.try_link(dir_fd, b"a", b"b")


def test_unlink_takes_a_symlink_and_not_what_it_points_to(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"target")
    fsops.symlink(b"target", dir_fd, b"link")
    fsops.unlink(dir_fd, b"link")
    assert (tmp_path / "target").exists()


def test_directories_are_removed_only_when_empty_and_never_by_unlink(
    dir_fd: int, tmp_path: Path
) -> None:
    assert fsops.make_dir(dir_fd, b"d", 0o700)
    assert not fsops.make_dir(dir_fd, b"d", 0o700)
    put(tmp_path / "d", b"stranger")
    with pytest.raises(OSError, match=r".") as caught:
        fsops.remove_dir(dir_fd, b"d")
    assert caught.value.errno in {errno.ENOTEMPTY, errno.EEXIST}
    with pytest.raises(OSError, match=r".") as caught:
        fsops.unlink(dir_fd, b"d")
    assert caught.value.errno in {errno.EISDIR, errno.EPERM}
    fsops.unlink(dir_fd, b"d/stranger")
    fsops.remove_dir(dir_fd, b"d")
    assert not (tmp_path / "d").exists()


def test_a_name_stays_in_the_directory_that_was_opened(dir_fd: int, tmp_path: Path) -> None:
    """A directory that is swapped for a symlink after it was opened redirects nothing."""
    (tmp_path / "home").mkdir()
    (tmp_path / "etc").mkdir()
    home = fsops.open_subdir(dir_fd, b"home")
    put(tmp_path / "home", b".temp", b"new")
    (tmp_path / "home").rename(tmp_path / "away")
    (tmp_path / "home").symlink_to("etc")
    fsops.publish(home, b".temp", b"passwd")
    os.close(home)
    assert os.listdir(tmp_path / "etc") == []
    assert read(tmp_path / "away", b"passwd") == b"new"


# ---- durability ----------------------------------------------------------------------------


def test_files_directories_and_their_filesystem_are_synced(dir_fd: int, tmp_path: Path) -> None:
    fd = os.open(put(tmp_path, b"file", b"x" * 10_000), os.O_RDONLY)
    fsops.sync(fd)
    fsops.sync(dir_fd)
    fsops.sync_filesystem(dir_fd)
    fsops.drop_cache(fd)
    assert os.pread(fd, 20_000, 0) == b"x" * 10_000
    os.close(fd)


def test_a_call_that_fails_says_with_which_error() -> None:
    with pytest.raises(OSError, match=r".") as caught:
        fsops.sync_filesystem(-1)
    assert caught.value.errno == errno.EBADF


def test_no_descriptor_is_inherited_by_a_program(dir_fd: int, tmp_path: Path) -> None:
    put(tmp_path, b"file")
    fds = [
        dir_fd,
        fsops.open_file(dir_fd, b"file"),
        fsops.create(dir_fd, b"new", mode=0o600),
        fsops.open_temp(dir_fd, b"temp", mode=0o600),
        fsops.open_append(dir_fd, b"log", mode=0o600),
    ]
    program = (
        "import os, sys\nfor fd in sys.argv[1:]:\n    print(os.path.exists(f'/proc/self/fd/{fd}'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, fds)],
        capture_output=True,
        text=True,
        check=True,
        close_fds=False,
    )
    for fd in fds[1:]:
        os.close(fd)
    assert ended.stdout.split() == ["False"] * len(fds)


def test_a_writer_of_this_machine_is_seen_and_a_reader_is_none(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    fd = os.open(path, os.O_RDONLY)
    try:
        assert not fsops.has_writer(fd)
        with open(path, "rb"):
            assert not fsops.has_writer(fd)
        with open(path, "ab"):
            assert fsops.has_writer(fd)
        assert not fsops.has_writer(fd)
    finally:
        os.close(fd)


def test_where_nobody_can_tell_of_writers_none_is_seen() -> None:
    read_end, write_end = os.pipe()
    try:
        assert not fsops.has_writer(read_end)
    finally:
        os.close(read_end)
        os.close(write_end)
