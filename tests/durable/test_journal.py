"""Checksummed lines: whole, torn at the end, or damaged."""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.durable import journal
from tests.statefile.strategies import memory

PAYLOADS = st.lists(
    st.binary(min_size=1, max_size=200).filter(lambda p: b"\n" not in p), max_size=8
)


def read(content: bytes, *, limit: int = 1 << 30) -> tuple[list[bytes], int]:
    """The payloads of `content`, and where the last whole line ends."""
    with memory(content) as fd:
        found = list(journal.payloads(fd, limit_bytes=limit))
    return [payload for payload, _ in found], found[-1][1] if found else 0


@given(PAYLOADS)
def test_what_is_framed_is_read_back(payloads: list[bytes]) -> None:
    content = b"".join(map(journal.frame, payloads))
    assert read(content) == (payloads, len(content))


def test_a_line_is_the_checksum_a_space_the_payload_a_newline() -> None:
    assert journal.frame(b"{}") == b"%08x {}\n" % zlib.crc32(b"{}")


@given(PAYLOADS, st.binary(max_size=300))
def test_what_follows_the_last_whole_line_is_a_torn_tail(
    payloads: list[bytes], tail: bytes
) -> None:
    content = b"".join(map(journal.frame, payloads))
    found, end = read(content + tail.replace(b"\n", b"") + b"\n")
    assert (found, end) == (payloads, len(content))


@given(PAYLOADS.filter(lambda payloads: len(payloads) > 1), st.data())
def test_a_changed_line_before_a_whole_one_is_damage_and_is_named(
    payloads: list[bytes], data: st.DataObject
) -> None:
    lines = [bytearray(journal.frame(payload)) for payload in payloads]
    number = data.draw(st.integers(0, len(lines) - 2))
    at = data.draw(st.integers(0, len(lines[number]) - 2))
    lines[number][at] ^= data.draw(st.sampled_from([1, 2, 4, 128]))
    with pytest.raises(journal.DamageError, match=rf"line {number + 1}: checksum mismatch"):
        read(b"".join(lines))


@pytest.mark.parametrize("size", [journal.LINE_MAX, (1 << 20) + 5, 3 << 20])
def test_an_overlong_piece_is_a_tail_at_the_end_and_damage_before_a_line(size: int) -> None:
    whole = journal.frame(b"{}")
    assert read(whole + bytes(size)) == ([b"{}"], len(whole))
    with pytest.raises(journal.DamageError, match="line 2"):
        read(whole + bytes(size) + b"\n" + whole)


def test_the_longest_line_is_read_and_a_longer_one_not_framed() -> None:
    payload = b"x" * (journal.LINE_MAX - 10)
    assert read(journal.frame(payload)) == ([payload], journal.LINE_MAX)
    with pytest.raises(ValueError, match="longer than a line"):
        journal.frame(payload + b"x")


def test_a_line_that_is_too_long_is_not_whole_though_its_checksum_fits() -> None:
    payload = b"x" * journal.LINE_MAX
    line = b"%08x %s\n" % (zlib.crc32(payload), payload)
    assert read(line) == ([], 0)
    with pytest.raises(journal.DamageError, match="line 1"):
        read(line + journal.frame(b"{}"))


def test_lines_are_found_across_the_pieces_that_are_read() -> None:
    payloads = [b"%d" % number * 50 for number in range(20_000)]
    content = b"".join(map(journal.frame, payloads))
    assert len(content) > 3 << 20
    assert read(content) == (payloads, len(content))


def test_a_file_beyond_its_limit_is_an_error() -> None:
    with pytest.raises(journal.DamageError, match="longer than 100 bytes"):
        read(journal.frame(b"x" * 200), limit=100)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    """A file open for appending."""
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    yield fd
    os.close(fd)


def test_only_the_torn_tail_is_cut(log: int) -> None:
    whole = journal.frame(b"{}")
    journal.append(log, whole + b"torn")
    journal.cut_torn_tail(log, len(whole))
    journal.cut_torn_tail(log, len(whole))
    journal.append(log, whole)
    assert os.pread(log, 100, 0) == whole + whole


_APPEND_TO_A_FULL_FILE = """
import os, resource, signal, sys
from poststage.durable import journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
journal.append(fd, b"x" * 1500)
"""


def test_an_append_that_the_kernel_cuts_short_is_an_error_and_not_half_a_success(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", _APPEND_TO_A_FULL_FILE, str(tmp_path / "log")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    assert (tmp_path / "log").stat().st_size == 1000
