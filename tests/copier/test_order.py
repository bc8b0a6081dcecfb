"""What has to be durable before what, seen in the calls that a daemon makes."""

import os
from pathlib import Path

import pytest

from tests.backends.sites import end_daemon
from tests.copier.test_killed_anywhere import Scene, shims
from tests.crash.shim import Injection, Shim

__all__ = ["shims"]  # a fixture

Calls = list[tuple[str, str]]
SYNC = frozenset({"fsync", "fdatasync"})
CHANGE = frozenset({"open", "copy_file_range", "pwrite64", "ftruncate64"})


def calls_of(shims: Shim, folder: Path, *, cancels: bool) -> Calls:
    """(call, file name) in the order in which they returned, of one thread that copies."""
    scene = Scene(folder)
    shims.arm(folder, Injection(), log=True)
    scene.start_daemon(shims.environment(), threads=1)
    scene.client(cancels=cancels)
    end_daemon(scene.root)
    shims.stand_down()
    return [(call.name, os.fsdecode(call.path).rpartition("/")[2]) for call in shims.log()]


def first(calls: Calls, name: str, ending: str) -> int:
    """Where the first call `name` on a file with this ending stands."""
    return next(
        at for at, (call, file) in enumerate(calls) if call == name and file.endswith(ending)
    )


def last_write(calls: Calls, ending: str, before: int) -> int:
    """Where the last write before `before` to a file with this ending stands."""
    found = [
        at for at in range(before) if calls[at][0] == "write" and calls[at][1].endswith(ending)
    ]
    return found[-1]


def synced(calls: Calls, ending: str, after: int, before: int) -> bool:
    """Whether a file with this ending, or everything, was synced between the two."""
    return any(
        call == "syncfs" or (call in SYNC and file.endswith(ending))
        for call, file in calls[after + 1 : before]
    )


def test_a_start_is_durable_before_the_first_temp_file_is_made(shims: Shim, tmp_path: Path) -> None:
    calls = calls_of(shims, tmp_path, cancels=False)
    made = min(first(calls, "open", f".{index}") for index in range(3))
    assert synced(calls, ".journal", last_write(calls, ".journal", made), made)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_file_is_called_copied_after_its_bytes_and_its_name_are_durable(
    shims: Shim, tmp_path: Path, index: int
) -> None:
    calls = calls_of(shims, tmp_path, cancels=False)
    closed = first(calls, "close", f".{index}")
    changed = max(
        at for at in range(closed) if calls[at][0] in CHANGE and calls[at][1] == f".{index}"
    )
    outcome = next(at for at in range(closed, len(calls)) if calls[at][0] == "write")
    assert calls[outcome][1].endswith(".journal")
    assert synced(calls, f".{index}", changed, outcome)
    assert synced(calls, "pfs", changed, outcome)


def test_a_cancel_is_durable_before_the_first_temp_file_is_removed(
    shims: Shim, tmp_path: Path
) -> None:
    calls = calls_of(shims, tmp_path, cancels=True)
    removed = first(calls, "unlinkat", ".0")
    assert synced(calls, ".journal", last_write(calls, ".journal", removed), removed)


def test_an_end_is_durable_when_the_daemon_has_nothing_more_to_do(
    shims: Shim, tmp_path: Path
) -> None:
    calls = calls_of(shims, tmp_path, cancels=False)
    assert synced(calls, ".journal", last_write(calls, ".journal", len(calls)), len(calls))
