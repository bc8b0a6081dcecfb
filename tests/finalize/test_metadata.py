"""Owner, mode and times come out exact, in an order in which no bit is lost on the way."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from poststage.durable import fsops
from poststage.finalize import metadata
from poststage.model import Meta
from tests.finalize import house as h
from tests.finalize.kernel import calls_of
from tests.finalize.users import OTHER, PLAIN, as_user, root_only

TIMES = (0, -1, -(10**18) - 7, 1, 1_650_000_000_987_654_321, 4_000_000_000 * 10**9 + 1)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor as the finalizer has it."""
    dir_fd = fsops.open_dir(os.fsencode(path.parent))
    fd = fsops.open_file(dir_fd, os.fsencode(path.name))
    os.close(dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def restored(path: Path, wanted: Meta) -> bool:
    """`restore` of the file at `path`."""
    with opened(path) as fd:
        return metadata.restore(fd, metadata.facts_now(fd), wanted)


@pytest.fixture
def path(common: Path) -> Path:
    return h.put(common / "f", h.NEW, mode=0o600)


@pytest.mark.parametrize("mode", [0, 0o444, 0o640, 0o755, 0o777, 0o1644, 0o4755, 0o2711, 0o6755])
def test_every_mode_is_exact_and_so_are_the_times(path: Path, mode: int) -> None:
    wanted = replace(h.meta_at(path), mode=mode, atime_ns=h.ATIME_NS, mtime_ns=h.MTIME_NS)
    assert restored(path, wanted)
    assert h.meta_at(path) == wanted


@pytest.mark.parametrize("mode", [0, 0o4755])
@pytest.mark.parametrize("time_ns", TIMES)
def test_every_time_is_exact_to_the_nanosecond(path: Path, time_ns: int, mode: int) -> None:
    wanted = replace(h.meta_at(path), mode=mode, atime_ns=time_ns, mtime_ns=time_ns + 1)
    restored(path, wanted)
    assert h.meta_at(path) == wanted


def test_what_is_right_already_is_not_touched(path: Path) -> None:
    before = path.stat().st_ctime_ns
    assert not restored(path, h.meta_at(path))
    assert path.stat().st_ctime_ns == before


@root_only
def test_the_owner_comes_first_so_that_setuid_and_setgid_stay(path: Path) -> None:
    wanted = replace(h.meta_at(path), uid=PLAIN, gid=OTHER, mode=0o6755, mtime_ns=h.MTIME_NS)
    restored(path, wanted)
    assert h.meta_at(path) == wanted


@root_only
def test_setuid_is_set_after_the_owner_and_the_times_come_last(path: Path) -> None:
    wanted = replace(h.meta_at(path), uid=PLAIN, mode=0o4755, mtime_ns=h.MTIME_NS)

    assert calls_of(lambda: restored(path, wanted)) == ["chown", "chmod", "utime"]


@root_only
def test_a_bit_that_the_chown_strips_is_set_again_though_the_mode_was_right(path: Path) -> None:
    path.chmod(0o4755)
    wanted = replace(h.meta_at(path), uid=PLAIN)
    restored(path, wanted)
    assert h.meta_at(path) == wanted


@root_only
def test_a_mode_without_permissions_is_restored_by_its_owner_too(path: Path) -> None:
    os.chown(path, PLAIN, PLAIN)
    path.chmod(0)
    wanted = replace(h.meta_at(path), mode=0o640, atime_ns=-5, mtime_ns=h.MTIME_NS)
    as_user(lambda: restored(path, wanted))
    assert h.meta_at(path) == wanted


@root_only
def test_an_owner_that_may_not_be_given_is_refused(path: Path) -> None:
    os.chown(path, PLAIN, PLAIN)
    wanted = replace(h.meta_at(path), uid=OTHER)

    def refused() -> None:
        with pytest.raises(PermissionError):
            restored(path, wanted)

    as_user(refused)
    assert h.meta_at(path).uid == PLAIN


@root_only
def test_a_setgid_bit_that_the_kernel_drops_without_a_word_is_refused(path: Path) -> None:
    """chmod(2): the bit is cleared for a group that one is not in, and no error is given."""
    os.chown(path, PLAIN, OTHER)
    wanted = replace(h.meta_at(path), mode=0o2755)

    def refused() -> None:
        with pytest.raises(PermissionError, match="not granted"):
            restored(path, wanted)

    as_user(refused)
    assert not path.stat().st_mode & stat.S_ISGID


@root_only
def test_a_group_that_one_is_in_is_given_with_its_bit(path: Path) -> None:
    os.chown(path, PLAIN, PLAIN)
    wanted = replace(h.meta_at(path), gid=OTHER, mode=0o2755)
    as_user(lambda: restored(path, wanted), groups=(OTHER,))
    assert h.meta_at(path) == wanted


@pytest.mark.parametrize("mode", [0, 0o200, 0o400, 0o4755])
def test_contents_are_proven_whatever_the_mode(path: Path, mode: int) -> None:
    path.chmod(mode)

    def proves() -> None:
        with opened(path) as fd:
            assert metadata.checksum_fits(fd, h.checksum(h.NEW))
            assert not metadata.checksum_fits(fd, h.checksum(h.NEW + b"."))

    if os.geteuid() == 0:
        os.chown(path, PLAIN, PLAIN)
        path.chmod(mode)
    as_user(proves)


def test_contents_are_read_from_the_disk_and_not_from_the_cache(path: Path) -> None:
    """Dirty pages cannot be dropped, so they are written first."""

    def proves() -> None:
        with opened(path) as fd:
            metadata.checksum_fits(fd, h.checksum(h.NEW))

    assert calls_of(proves) == ["fsync", "drop_cache"]


def test_a_large_file_is_read_whole(path: Path) -> None:
    content = bytes(range(256)) * 40_000
    path.write_bytes(content)
    with opened(path) as fd:
        assert metadata.checksum_fits(fd, h.checksum(content))
        assert not metadata.checksum_fits(fd, h.checksum(content[:-1] + b"!"))


@pytest.mark.parametrize("mode", [0, 0o600])
def test_a_file_is_opened_for_fsync_whatever_its_mode_and_keeps_it(path: Path, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, PLAIN, PLAIN)
    path.chmod(mode)

    def syncs() -> None:
        dir_fd = fsops.open_dir(os.fsencode(path.parent))
        fd = metadata.open_for_fsync(dir_fd, b"f")
        fsops.sync(fd)
        os.close(fd)
        os.close(dir_fd)

    as_user(syncs)
    assert stat.S_IMODE(path.stat().st_mode) == mode
