"""One file synced by itself: durable, failed for good, or not to be opened; three answers."""

import errno
import os

from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize.syncing import not_synced, sync_alone
from poststage.model import Verdict
from tests.finalize import house as h
from tests.finalize.house import House


def test_a_file_that_is_synced_has_no_outcome_yet(house: House) -> None:
    dir_fd = fsops.open_dir(os.fsencode(house.dst))
    h.put(house.dst / "t", b"x", mode=0)
    assert sync_alone(dir_fd, b"t") is None
    assert h.meta_at(house.dst / "t").mode == 0
    os.close(dir_fd)


def test_a_failed_sync_is_final_and_one_that_was_not_made_is_not(house: House) -> None:
    failed = not_synced(OSError(errno.EIO, os.strerror(errno.EIO)))
    assert (failed.verdict, failed.code) == (Verdict.FAILED, ExitCode.NEEDS_PERSON)
    dir_fd = fsops.open_dir(os.fsencode(house.dst))
    missing = sync_alone(dir_fd, b"missing")
    os.close(dir_fd)
    assert missing is not None
    assert (missing.verdict, missing.errno) == (Verdict.UNKNOWN, "ENOENT")
