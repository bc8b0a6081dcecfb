"""Verdicts beside another library's state file: kept whole, and bound to its contents."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.durable import fsops, journal
from poststage.errors import StateFileError
from poststage.model import Ended, Verdict
from poststage.statefile import verdicts
from poststage.statefile.records import VERSION, TransferRecord, VerdictRecord, encode

ID = "00000000000000a7"
NAME = b"rank_0.state_file"
ENDED = {
    0: Ended(Verdict.PUBLISHED),
    1: Ended(Verdict.PUBLISHED),
    3: Ended(Verdict.FAILED, "100 of 4296 bytes; \n\x1b[31m é"),
    4: Ended(Verdict.CONFLICT, "two"),
}
HEAD = encode(TransferRecord(VERSION, ID, "axl", 0, 1, "axl", 0))


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = fsops.open_dir(os.fsencode(tmp_path))
    yield fd
    os.close(fd)


def beside(tmp_path: Path) -> Path:
    return tmp_path / "rank_0.state_file.axl.verdicts"


def lay(tmp_path: Path, *payloads: bytes, tail: bytes = b"") -> None:
    beside(tmp_path).write_bytes(b"".join(map(journal.frame, payloads)) + tail)


def test_what_was_kept_is_read_back(dir_fd: int, tmp_path: Path) -> None:
    verdicts.write(dir_fd, NAME, id_=ID, ended=ENDED)
    assert verdicts.read(dir_fd, NAME, id_=ID, entries=5) == ENDED
    assert os.listdir(tmp_path) == [beside(tmp_path).name]


def test_verdicts_on_an_older_file_of_that_name_do_not_count(dir_fd: int) -> None:
    verdicts.write(dir_fd, NAME, id_=ID, ended=ENDED)
    assert verdicts.read(dir_fd, NAME, id_="1" * 16, entries=5) == {}


def test_nothing_kept_is_no_verdict_and_dropping_it_is_no_error(dir_fd: int) -> None:
    assert verdicts.read(dir_fd, NAME, id_=ID, entries=5) == {}
    verdicts.drop(dir_fd, NAME)
    verdicts.write(dir_fd, NAME, id_=ID, ended=ENDED)
    verdicts.drop(dir_fd, NAME)
    assert verdicts.read(dir_fd, NAME, id_=ID, entries=5) == {}


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ((b"{}",), "record"),
        ((encode(VerdictRecord(0, "failed", 1)),), "line 1: this record cannot stand here"),
        ((HEAD, HEAD), "line 2: this record cannot stand here"),
        ((HEAD, encode(VerdictRecord(5, "failed", 1))), "more entries"),
        ((HEAD, encode(VerdictRecord(0, "failed", 1, 6))), "more entries"),
        ((HEAD, *[encode(VerdictRecord(0, "failed", 1, 3))] * 2), "more entries"),
    ],
)
def test_damage_is_one_error(
    dir_fd: int, tmp_path: Path, payloads: tuple[bytes, ...], says: str
) -> None:
    lay(tmp_path, *payloads)
    with pytest.raises(StateFileError, match=says):
        verdicts.read(dir_fd, NAME, id_=ID, entries=5)


@given(st.binary(max_size=300))
def test_any_bytes_give_verdicts_or_one_error(raw: bytes) -> None:
    fd = os.memfd_create("verdicts")
    try:
        os.write(fd, raw)
        with suppress(ValueError):
            assert verdicts.ended(fd, ID, 5) == {}
    finally:
        os.close(fd)


def test_a_link_or_a_directory_in_its_place_is_not_followed(dir_fd: int, tmp_path: Path) -> None:
    beside(tmp_path).mkdir()
    with pytest.raises(StateFileError, match="not a regular file"):
        verdicts.read(dir_fd, NAME, id_=ID, entries=5)
    beside(tmp_path).rmdir()
    beside(tmp_path).symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        verdicts.read(dir_fd, NAME, id_=ID, entries=5)
