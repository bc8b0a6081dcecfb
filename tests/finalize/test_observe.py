"""Looking changes nothing, follows nothing, and hangs on nothing."""

import errno
import os

import pytest

from poststage.durable import fsops
from poststage.finalize import observe
from poststage.finalize.seen import Fate, Seen
from poststage.model import Entry
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.plants import PLANTS


def look(entry: Entry, *, full: bool = False) -> Seen:
    """What is seen of `entry`; its descriptor is closed."""
    dir_fd = fsops.open_dir(os.path.dirname(entry.destination))
    try:
        nothing = Seen(entry, Fate.DONE)
        seen, fd = observe.look(nothing, dir_fd, created_ns=h.CREATED_NS, full=full)
        if fd >= 0:
            os.close(fd)
        return seen
    finally:
        os.close(dir_fd)


@pytest.mark.parametrize("plant", PLANTS)
def test_what_stands_at_the_temp_name_is_seen_as_what_it_is(house: House, plant: str) -> None:
    entry = house.entry()
    PLANTS[plant](h.temp_of(entry))
    seen = look(entry)
    assert seen.temp is not None
    assert not seen.temp.regular
    assert seen.temp.ino == h.temp_of(entry).lstat().st_ino


@pytest.mark.parametrize("plant", PLANTS)
def test_what_stands_at_the_destination_is_seen_as_what_it_is(house: House, plant: str) -> None:
    entry = house.entry()
    PLANTS[plant](h.path_of(entry))
    seen = look(entry)
    assert seen.destination is not None
    assert seen.destination.ino == h.path_of(entry).lstat().st_ino


def test_one_answer_alone_does_not_make_a_temp_file_absent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that has just failed over may say so of a file that is there."""
    entry = house.entry()
    house.moved(entry)

    def lies(dir_fd: int, name: bytes) -> int:
        del dir_fd
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    monkeypatch.setattr(fsops, "open_file", lies)
    with pytest.raises(OSError, match="Stale") as caught:
        look(entry)
    assert caught.value.errno == errno.ESTALE
    h.temp_of(entry).unlink()
    assert look(entry).temp is None


def test_looking_leaves_every_time_as_it_is(house: House) -> None:
    entry = house.entry()
    house.moved(entry)
    h.put(h.path_of(entry), b"there")
    before = {path: path.stat() for path in house.dst.iterdir()}
    look(entry, full=True)
    assert {path: path.stat() for path in house.dst.iterdir()} == before


def test_a_destination_that_was_free_is_not_looked_at_where_the_temp_file_is_as_it_should_be(
    house: House,
) -> None:
    """On a parallel file system each look is a round trip."""
    entry = house.entry()
    house.moved(entry)
    h.put(h.path_of(entry), b"there")
    assert not look(entry).looked
    assert look(entry, full=True).looked


@pytest.mark.parametrize("situation", ["no temp file", "two links", "prior"])
def test_a_destination_is_looked_at_where_it_decides(house: House, situation: str) -> None:
    there = h.put(house.dst / "f", b"there")
    entry = house.entry(prior=h.identity(there) if situation == "prior" else None)
    if situation != "no temp file":
        house.moved(entry)
    if situation == "two links":
        os.link(h.temp_of(entry), house.dst / "second")
    seen = look(entry)
    assert seen.looked
    assert seen.destination is not None


def test_the_stamp_of_a_conflict_name_is_the_time_of_creation_in_utc() -> None:
    assert observe.stamp(h.CREATED_NS) == h.STAMP
    assert observe.stamp(-1) == "19691231-235959"


def test_our_own_conflict_copy_is_found_behind_those_of_others(house: House) -> None:
    entry = house.entry()
    h.put(h.path_of(entry), b"newer", mtime_ns=h.MTIME_NS + 1)
    h.put(h.aside_of(entry, 0), b"somebody's")
    ours = h.put(h.aside_of(entry, 1), h.NEW, mode=0o640, mtime_ns=h.MTIME_NS)
    seen = look(entry)
    assert seen.aside is not None
    assert seen.aside.ino == ours.stat().st_ino


def test_a_conflict_copy_is_found_though_the_destination_has_gone_since(house: House) -> None:
    entry = house.entry()
    h.put(h.aside_of(entry), h.NEW, mode=0o640, mtime_ns=h.MTIME_NS)
    assert look(entry).aside is not None


def test_a_directory_that_cannot_be_opened_is_an_error_of_its_own(house: House) -> None:
    entry = house.entry("missing/f")
    with pytest.raises(FileNotFoundError):
        look(entry)
