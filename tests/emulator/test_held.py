"""The burst buffer that the daemon holds: taken away from all others, and counted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.emulator.held import HeldBuffer
from poststage.errors import BackendError, UsageError


class Place:
    """A root, and where the burst buffer is for everybody."""

    def __init__(self, folder: Path) -> None:
        self.root, self.buffer = folder / "root", folder / "bb"
        self.root.mkdir()
        self.root_fd = os.open(self.root, os.O_RDONLY)
        self.fill(b"first")

    def fill(self, content: bytes) -> None:
        """A burst buffer with one file."""
        self.buffer.mkdir()
        (self.buffer / "file").write_bytes(content)

    def held(self) -> HeldBuffer:
        """As a daemon sees it that starts now."""
        return HeldBuffer(self.root_fd, self.buffer)

    def read(self, held: HeldBuffer, generation: int) -> bytes:
        """The file, as the daemon reads it."""
        fd = held.open_source(os.fsencode(self.buffer / "file"), generation)
        try:
            return os.read(fd, 100)
        finally:
            os.close(fd)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    os.close(made.root_fd)


def test_after_detach_the_path_is_gone_and_the_daemon_reads_on(place: Place) -> None:
    held = place.held()
    number = held.generation()
    assert held.detach() == os.fsencode(place.buffer)
    assert not place.buffer.exists()
    assert place.read(held, number) == b"first"


def test_a_restarted_daemon_finds_what_it_holds(place: Place) -> None:
    held = place.held()
    number = held.generation()
    held.detach()
    assert place.read(HeldBuffer(place.root_fd, None), number) == b"first"


def test_each_job_s_burst_buffer_is_its_own(place: Place) -> None:
    held = place.held()
    first = held.generation()
    held.detach()
    place.fill(b"second")
    second = held.generation()
    assert (place.read(held, first), place.read(held, second)) == (b"first", b"second")
    held.detach()
    again = HeldBuffer(place.root_fd, None)
    assert (place.read(again, first), place.read(again, second)) == (b"first", b"second")


def test_a_directory_that_somebody_moves_away_stays_in_reach(place: Place) -> None:
    held = place.held()
    place.buffer.rename(place.root.parent / "elsewhere")
    assert place.read(held, 0) == b"first"


def test_nobody_else_can_enter_what_is_held(place: Place) -> None:
    place.held().detach()
    assert (place.root / "held").stat().st_mode & 0o777 == 0o700


def test_other_sources_are_read_by_their_path(place: Place, tmp_path: Path) -> None:
    (tmp_path / "bbx").write_bytes(b"not below it")
    fd = place.held().open_source(os.fsencode(tmp_path / "bbx"), 0)
    assert os.read(fd, 100) == b"not below it"
    os.close(fd)


def test_a_burst_buffer_that_is_gone_is_a_missing_source(place: Place) -> None:
    (place.buffer / "file").unlink()
    place.buffer.rmdir()
    with pytest.raises(FileNotFoundError):
        place.read(HeldBuffer(place.root_fd, None), 0)


def test_without_a_burst_buffer_there_is_nothing_to_detach(place: Place) -> None:
    with pytest.raises(UsageError, match="holds no burst buffer"):
        HeldBuffer(place.root_fd, None).detach()


def test_a_detach_that_cannot_be_leaves_all_as_it_was(place: Place) -> None:
    held = place.held()
    (place.buffer / "file").unlink()
    place.buffer.rmdir()
    with pytest.raises(BackendError, match="it is where it was"):
        held.detach()
    assert held.generation() == 0


def test_a_relative_burst_buffer_is_refused(place: Place) -> None:
    with pytest.raises(UsageError, match="plain absolute path"):
        HeldBuffer(place.root_fd, Path("bb"))
