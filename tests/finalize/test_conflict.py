"""Two files for one name: both keep every byte, whatever the file system can do."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from poststage import names
from poststage.durable import fsops
from poststage.finalize import conflict
from tests.finalize import house as h
from tests.finalize.kernel import KERNELS, Kernel, calls_of

THEIRS = b"somebody was faster"
ASIDE = f"f~{h.STAMP}~conflict~"
SECOND = f"f~{h.STAMP}~conflict-1~"


def call(directory: Path, function: Callable[..., bytes | None], *args: object) -> bytes | None:
    """`function` with the directory's descriptor."""
    dir_fd = fsops.open_dir(os.fsencode(directory))
    try:
        return function(dir_fd, *args)
    finally:
        os.close(dir_fd)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_who_takes_the_name_leaves_a_copy_of_what_stood_there(
    tmp_path: Path, kernel: Kernel
) -> None:
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / "f", THEIRS)
    take = lambda: call(tmp_path, conflict.take_name, b".t", b"f", h.STAMP)  # noqa: E731 - short
    assert kernel.run(take)
    assert contents(tmp_path) == {"f": h.NEW, ASIDE: THEIRS}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_who_steps_aside_takes_the_first_free_conflict_name(tmp_path: Path, kernel: Kernel) -> None:
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / ASIDE, b"of an earlier transfer")
    assert kernel.run(lambda: call(tmp_path, conflict.step_aside, b".t", b"f", h.STAMP))
    assert contents(tmp_path) == {ASIDE: b"of an earlier transfer", SECOND: h.NEW}


def test_no_name_is_dropped_before_the_other_is_durable(tmp_path: Path) -> None:
    """No order of writing back may have it that only the unlink came."""
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / "f", THEIRS)
    take = partial(call, tmp_path, conflict.take_name, b".t", b"f", h.STAMP)
    assert calls_of(take) == ["link", "fsync", "renameat2", "fsync", "remove"]


def test_where_names_cannot_be_exchanged_the_copy_is_durable_first(tmp_path: Path) -> None:
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / "f", THEIRS)
    take = partial(call, tmp_path, conflict.take_name, b".t", b"f", h.STAMP)
    assert calls_of(take, KERNELS[1]) == ["link", "fsync", "rename"]


def test_a_name_is_taken_once_though_the_copy_was_made_by_a_run_that_was_killed(
    tmp_path: Path,
) -> None:
    h.put(tmp_path / ".t", h.NEW)
    os.link(h.put(tmp_path / "f", THEIRS), tmp_path / ASIDE)
    assert call(tmp_path, conflict.take_name, b".t", b"f", h.STAMP) == os.fsencode(ASIDE)
    assert contents(tmp_path) == {"f": h.NEW, ASIDE: THEIRS}


def test_what_was_displaced_and_has_its_copy_only_loses_the_temp_name(tmp_path: Path) -> None:
    os.link(h.put(tmp_path / ".t", THEIRS), tmp_path / ASIDE)
    h.put(tmp_path / "f", h.NEW)
    assert call(tmp_path, conflict.set_aside, b".t", b"f", h.STAMP) == os.fsencode(ASIDE)
    assert contents(tmp_path) == {"f": h.NEW, ASIDE: THEIRS}


def test_what_was_displaced_and_is_not_the_copy_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """Somebody replaced the destination between the copy and the exchange."""
    h.put(tmp_path / ".t", b"a third file")
    h.put(tmp_path / ASIDE, THEIRS)
    h.put(tmp_path / "f", h.NEW)
    assert call(tmp_path, conflict.set_aside, b".t", b"f", h.STAMP) == os.fsencode(SECOND)
    assert contents(tmp_path) == {"f": h.NEW, ASIDE: THEIRS, SECOND: b"a third file"}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_only_the_recorded_file_is_replaced_and_dropped(tmp_path: Path, kernel: Kernel) -> None:
    h.put(tmp_path / ".t", h.NEW)
    prior = h.identity(h.put(tmp_path / "f", b"old"))

    def replaces() -> None:
        call(tmp_path, conflict.replace_prior, b".t", b"f", prior)
        assert call(tmp_path, conflict.drop_prior, b".t", b"f", prior, h.STAMP) == b""

    assert kernel.run(replaces)
    assert contents(tmp_path) == {"f": h.NEW}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_what_is_not_the_recorded_file_is_not_replaced(tmp_path: Path, kernel: Kernel) -> None:
    h.put(tmp_path / ".t", h.NEW)
    prior = h.identity(h.put(tmp_path / "f", b"old"))
    h.put(tmp_path / "f", b"old, written since", mtime_ns=h.MTIME_NS)

    def refuses() -> None:
        with pytest.raises(FileExistsError):
            call(tmp_path, conflict.replace_prior, b".t", b"f", prior)

    assert kernel.run(refuses)
    assert contents(tmp_path) == {".t": h.NEW, "f": b"old, written since"}


def test_what_took_the_name_at_the_last_moment_is_kept_when_it_is_found(tmp_path: Path) -> None:
    """The exchange brought something else under the temp name than was looked at."""
    prior = h.identity(h.put(tmp_path / "gone", b"old"))
    h.put(tmp_path / "f", h.NEW)
    h.put(tmp_path / ".t", THEIRS, mtime_ns=1)
    assert call(tmp_path, conflict.drop_prior, b".t", b"f", prior, h.STAMP) == os.fsencode(ASIDE)
    assert contents(tmp_path) == {"gone": b"old", "f": h.NEW, ASIDE: THEIRS}


def test_nothing_is_dropped_where_the_rename_has_done_it(tmp_path: Path) -> None:
    prior = h.identity(h.put(tmp_path / "f", h.NEW))
    assert call(tmp_path, conflict.drop_prior, b".t", b"f", prior, h.STAMP) == b""
    assert contents(tmp_path) == {"f": h.NEW}


def test_a_hundred_copies_are_enough(tmp_path: Path) -> None:
    for attempt in range(100):
        h.put(tmp_path / os.fsdecode(names.conflict_name(b"f", h.STAMP, attempt)), b"")
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / "f", THEIRS)
    for function in (conflict.step_aside, conflict.take_name):
        with pytest.raises(FileExistsError):
            call(tmp_path, function, b".t", b"f", h.STAMP)
    assert contents(tmp_path)["f"] == THEIRS
    assert contents(tmp_path)[".t"] == h.NEW


def test_the_longest_name_has_a_conflict_name_that_fits(tmp_path: Path) -> None:
    name = "n" * 255
    h.put(tmp_path / ".t", h.NEW)
    h.put(tmp_path / name, THEIRS)
    aside = call(tmp_path, conflict.take_name, b".t", name.encode(), h.STAMP)
    assert aside is not None
    assert len(aside) == 255
    assert contents(tmp_path) == {name: h.NEW, os.fsdecode(aside): THEIRS}
