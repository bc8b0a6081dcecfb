"""Faults: which files they hit, and that they outlive the daemon."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poststage.copier.records import ItemRecord
from poststage.emulator import faults as f
from poststage.emulator.faults import Faults
from poststage.errors import UsageError

ITEM = ItemRecord(0, "/bb/step.0/data.3", "/pfs/.x", 1000, 0)


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("faults", "hit"),
    [
        (Faults(), False),
        (Faults(fail_pattern="data.*"), True),
        (Faults(fail_pattern="data.4"), False),
        (Faults(fail_pattern="/bb/*/data.3"), True),
        (Faults(fail_pattern="bb/*"), False),
        (Faults(fail_number=2), True),
        (Faults(fail_number=1), False),
        (Faults(fail_pattern="data.*", fail_number=1), False),
        (Faults(fail_pattern="data.*", fail_after_bytes=1001), False),
        (Faults(fail_pattern="data.*", fail_after_bytes=1000), True),
    ],
)
def test_a_fault_hits_the_files_that_it_names(faults: Faults, hit: bool) -> None:
    assert faults.fails(ITEM, 2, 1000) is hit


def test_a_file_fails_exactly_where_it_is_to_fail() -> None:
    faults = Faults(fail_pattern="*", fail_after_bytes=300)
    assert faults.room(ITEM, 1, 0, 1000) == 300
    assert faults.room(ITEM, 1, 250, 1000) == 50
    assert not faults.fails(ITEM, 1, 299)
    assert faults.fails(ITEM, 1, 300)


def test_a_short_file_has_half_its_size() -> None:
    assert Faults(short_pattern="data.*").size(ITEM) == 500
    assert Faults(short_pattern="other").size(ITEM) == 1000


def test_faults_outlive_the_daemon(root_fd: int) -> None:
    assert f.load(root_fd) == Faults()
    faults = Faults(fail_pattern="*", limit_mb_s=1.5, die_after_bytes=7, hang=True)
    f.store(root_fd, faults)
    assert f.load(root_fd) == faults


@pytest.mark.parametrize(
    "value",
    [
        {"nonsense": 1},
        {"fail_number": 0},
        {"limit_mb_s": -1},
        {"slow_s": float("nan")},
        {"hang": "yes"},
        {"fail_after_bytes": 1.5},
        [],
        "hang",
    ],
)
def test_faults_that_make_no_sense_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="nothing was changed"):
        f.faults_of(value)


def test_a_damaged_file_of_faults_is_named(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_bytes(b"{")
    with pytest.raises(UsageError, match=r"faults\.json"):
        f.load(root_fd)
