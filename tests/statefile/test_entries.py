"""Entries are the same ones whether they stay in memory or are read again page by page."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poststage.errors import StateFileError
from poststage.model import Entry, Head, Kind, Meta
from poststage.statefile import StateWriter, codec, read_state
from poststage.statefile.entries import Entries, is_plain
from poststage.statefile.records import EntryRecord, encode

HEAD = Head("00000000000000a7", "d", 0, 1, "b", 0)
META = Meta(1, 2, 3, 0o640, 5, 6)
MANY = 20_000


def entry(index: int) -> Entry:
    """A file; each thousandth a symlink, so that there are others."""
    kind = Kind.SYMLINK if index % 1000 == 7 else Kind.FILE
    target = b"t" if kind is Kind.SYMLINK else None
    destination = b"/pfs/d/f%d" % index
    return Entry(kind, b"/bb/f%d" % index, destination, b".t%d" % index, META, target=target)


@pytest.fixture
def state_file(tmp_path: Path) -> Iterator[int]:
    """A state file of `MANY` entries, which are more than one page."""
    dir_fd = os.open(tmp_path, os.O_RDONLY)
    writer = StateWriter.create(dir_fd, b"0.state", HEAD)
    for index in range(MANY):
        writer.add(entry(index))
    writer.recorded()
    writer.flush()
    writer.close()
    os.close(dir_fd)
    fd = os.open(tmp_path / "0.state", os.O_RDWR)
    yield fd
    os.close(fd)


def test_a_long_state_file_says_page_by_page_what_was_written(state_file: int) -> None:
    state = read_state(state_file, b"0.state")
    assert state is not None
    wanted = tuple(map(entry, range(MANY)))
    found = state.entries
    assert isinstance(found, Entries)
    assert tuple(found) == wanted
    assert tuple(found[MANY // 2 : MANY // 2 + 3]) == wanted[MANY // 2 : MANY // 2 + 3]
    with pytest.raises(IndexError):
        found[MANY]
    pages = list(found.pages())
    assert len(pages) > 2
    firsts = [page.first for page in pages]
    assert firsts[1:] == [page.first + len(page.records) for page in pages[:-1]]
    assert found.others == frozenset(range(7, MANY, 1000))


def test_a_page_that_is_not_what_it_was_is_an_error_and_no_other_value(state_file: int) -> None:
    state = read_state(state_file, b"0.state")
    assert state is not None
    assert len(state.entries) == MANY
    at = os.fstat(state_file).st_size // 2
    os.pwrite(state_file, bytes([os.pread(state_file, 1, at)[0] ^ 1]), at)
    with pytest.raises(StateFileError, match="changed while it was worked on"):
        state.entries == ()  # noqa: B015 - for what reading all of it does


def test_memory_does_not_grow_with_the_number_of_entries(state_file: int) -> None:
    program = """
import sys, resource
from poststage.statefile import read_state
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
state = read_state(0, b"x")
for _ in range(5):
    assert sum(entry.meta.size for entry in state.entries) == len(state.entries)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    found = subprocess.run(
        [sys.executable, "-c", program], stdin=state_file, check=True, capture_output=True
    )
    assert int(found.stdout) * 1024 < MANY * 600  # what the entries alone would take


paths = st.text("/.ab% \\é\x7f\n", max_size=12).map(lambda text: "/" + text)


@given(paths, paths, st.text("/.ab%", max_size=6))
@example("/a/b", "/a/b", ".b")
@example("/", "/a", ".ab")
@example("/" + "a" * 254, "/a", ".t1")
@example("/" + "a" * 255, "/a", ".t1")
@example("/a", "/a", "." * 255)
def test_a_plain_record_is_one_that_the_whole_check_takes(
    source: str, destination: str, temp: str
) -> None:
    record = EntryRecord(Kind.FILE, source, destination, temp, 0, 0, 0, 0, 0, 0)
    if is_plain(encode(record) + b"\n") and codec.is_plain(record):
        made = codec.entry_of(record, 0)
        wanted = [text.encode() for text in (source, destination, temp)]
        assert [made.source, made.destination, made.temp] == wanted


@pytest.mark.parametrize("text", ["/%41", "/\\", "/é", "/\x7f"])
def test_a_page_with_such_a_name_is_not_plain(text: str) -> None:
    record = EntryRecord(Kind.FILE, text, "/a", ".t1", 0, 0, 0, 0, 0, 0)
    assert not is_plain(encode(record) + b"\n")
