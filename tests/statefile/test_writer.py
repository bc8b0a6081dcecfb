"""The writer: what it appends, in which pieces, and how it goes on after a crash."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.durable import fsops
from poststage.model import Ended, Entry, Head, Kind, Meta, State, Verdict
from poststage.statefile import StateWriter, read_state
from tests.statefile.strategies import texts

HEAD = Head("00c0ffee00c0ffee", "step.0", 0, 1, "emulator", 1)
META = Meta(1, 2, 3, 0o644, 5, 6)


def entry(index: int) -> Entry:
    """A file."""
    name = b"data.%d" % index
    return Entry(Kind.FILE, b"/bb/" + name, b"/pfs/" + name, b"." + name, META)


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    """`tmp_path`, open."""
    fd = fsops.open_dir(bytes(tmp_path))
    yield fd
    os.close(fd)


def state_of(path: Path) -> State:
    """What the file says."""
    fd = os.open(path, os.O_RDONLY)
    try:
        state = read_state(fd, bytes(path))
        assert state is not None
        return state
    finally:
        os.close(fd)


def recorded(dir_fd: int, count: int, path: Path) -> State:
    """A file of `count` entries, written and read."""
    writer = StateWriter.create(dir_fd, os.fsencode(path.name), HEAD)
    for index in range(count):
        assert writer.add(entry(index)) == index
    writer.recorded()
    writer.sync()
    writer.close()
    return state_of(path)


def test_a_state_file_is_its_owners_alone_and_never_replaces_one(
    dir_fd: int, tmp_path: Path
) -> None:
    recorded(dir_fd, 1, tmp_path / "0.state")
    assert (tmp_path / "0.state").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        StateWriter.create(dir_fd, b"0.state", HEAD)
    (tmp_path / "1.state").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        StateWriter.create(dir_fd, b"1.state", HEAD)


def test_nothing_is_in_the_file_before_it_is_flushed(dir_fd: int, tmp_path: Path) -> None:
    writer = StateWriter.create(dir_fd, b"0.state", HEAD)
    assert (tmp_path / "0.state").stat().st_size == 0
    writer.flush()
    assert state_of(tmp_path / "0.state").head == HEAD
    writer.close()


def test_10000_entries_are_written_in_a_few_large_pieces(dir_fd: int, tmp_path: Path) -> None:
    state = recorded(dir_fd, 10_000, tmp_path / "0.state")
    assert len(state.entries) == 10_000
    size = (tmp_path / "0.state").stat().st_size
    assert size < 10_000 * 300  # linear, and no entry carries the others along


def test_an_append_cuts_the_torn_tail_first(dir_fd: int, tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    whole = recorded(dir_fd, 2, path).whole_bytes
    with path.open("ab") as file:
        file.write(b"0123abcd {torn")
    assert state_of(path).torn
    writer = StateWriter.reopen(os.open(path, os.O_RDWR | os.O_APPEND), whole)
    writer.verdicts({0: Ended(Verdict.PUBLISHED)})
    writer.sync()
    writer.close()
    state = state_of(path)
    assert not state.torn
    assert state.ended == {0: Ended(Verdict.PUBLISHED)}


@given(
    ended=st.dictionaries(
        st.integers(0, 30),
        st.builds(Ended, st.sampled_from([Verdict.PUBLISHED, Verdict.FAILED]), st.just("") | texts),
    )
)
def test_runs_of_equal_verdicts_lose_none_and_invent_none(
    ended: dict[int, Ended], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("runs")
    fd = fsops.open_dir(bytes(directory))
    path = directory / "0.state"
    whole = recorded(fd, 31, path).whole_bytes
    os.close(fd)
    writer = StateWriter.reopen(os.open(path, os.O_RDWR | os.O_APPEND), whole)
    writer.verdicts(ended)
    writer.sync()
    writer.close()
    assert state_of(path).ended == ended


def test_equal_verdicts_of_neighbours_share_a_line(dir_fd: int, tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    whole = recorded(dir_fd, 1000, path).whole_bytes
    writer = StateWriter.reopen(os.open(path, os.O_RDWR | os.O_APPEND), whole)
    writer.verdicts(dict.fromkeys(range(1000), Ended(Verdict.PUBLISHED)))
    writer.sync()
    writer.close()
    assert path.stat().st_size - whole < 200
