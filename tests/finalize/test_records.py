"""The durable record of a dataset: small, whole, and written only when it says something new."""

import json
import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from poststage.finalize import records
from poststage.finalize.report import DatasetReport, Problem
from tests.finalize.plants import PLANTS

NAME = "d.report.json"
REPORT = DatasetReport(
    "d", "d", complete=False, parts=2, parts_seen=1, missing_parts=(1,), files={"failed": 1}
)


def write(top: Path, report: DatasetReport = REPORT) -> OSError | None:
    return records.write(top, b"d", report, records.read(top, b"d"))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    problem = Problem(0, "failed", "why", "/dst/%0A", "/bb/%0A", ".t", "/s/d/0.state")
    report = replace(REPORT, problems=(problem,), problems_in_all=1)
    assert write(tmp_path, report) is None
    assert records.read(tmp_path, b"d") == report


def test_it_says_who_and_when_in_ascii_and_everybody_may_read_it(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / NAME
    document = json.loads(path.read_bytes())
    assert path.read_bytes().isascii()
    assert document["by"]["uid"] == os.geteuid()
    assert document["by"]["pid"] == os.getpid()
    assert document["time"].endswith("Z")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_what_says_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, replace(REPORT, changed=7))
    before = (tmp_path / NAME).stat()
    write(tmp_path, replace(REPORT, changed=0))
    assert (tmp_path / NAME).stat() == before


def test_what_says_something_new_takes_its_place_whole(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, replace(REPORT, complete=True))
    kept = records.read(tmp_path, b"d")
    assert kept is not None
    assert kept.complete
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"report": 1}',
        b'{"report": {"dataset": 1}}',
        b"[" * 100_000,
        b'{"report": ' * 50_000,
        b"\xff\xfe",
        b"9" * 10_000,
    ],
)
def test_what_cannot_be_understood_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert records.read(tmp_path, b"d") is None
    assert write(tmp_path) is None
    assert records.read(tmp_path, b"d") == REPORT


@pytest.mark.parametrize("plant", PLANTS)
def test_what_stands_in_its_place_is_not_read(tmp_path: Path, plant: str) -> None:
    PLANTS[plant](tmp_path / NAME)
    assert records.read(tmp_path, b"d") is None


def test_a_symlink_in_its_place_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (tmp_path / NAME).symlink_to(target)
    write(tmp_path)
    assert target.read_bytes() == b"precious"
    assert records.read(tmp_path, b"d") == REPORT


def test_a_directory_in_its_place_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    error = write(tmp_path)
    assert error is not None
    assert "not written" in str(error.strerror)
    assert error.filename == os.fsencode(tmp_path / NAME)


def test_the_state_files_of_statedir_itself_have_a_record_too(tmp_path: Path) -> None:
    assert records.write(tmp_path, b"", REPORT, None) is None
    assert records.read(tmp_path, b"") == REPORT
