"""One state file as it is read: nothing is followed, nothing hangs, an agent that lives is seen."""

import os
from contextlib import closing

import pytest

from poststage.durable import lock
from poststage.errors import StateFileError
from poststage.model import Ended, Kind, Verdict
from poststage.statefile import StateWriter
from tests.finalize.house import House
from tests.finalize.plants import PLANTS


def test_it_tells_how_to_ask_for_the_transfer(house: House) -> None:
    house.write(house.entry(), handle="h-1")
    pending = house.load().pending
    assert (pending.backend, pending.handle) == ("stub", "h-1")
    assert (pending.recorded, pending.started, pending.moves_files) == (True, True, True)
    assert not pending.agent_alive


def test_without_files_that_are_not_settled_there_is_nothing_to_ask_for(house: House) -> None:
    path = house.write(house.entry("l", kind=Kind.SYMLINK, target=b"x"), house.entry("f", 1))
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    with closing(StateWriter.reopen(fd, path.stat().st_size)) as writer:
        writer.verdicts({1: Ended(Verdict.FAILED)})
        writer.sync()
    assert not house.load().pending.moves_files


def test_an_agent_that_has_it_open_is_seen_and_another_reader_is_not(house: House) -> None:
    path = house.write(house.entry())
    reader, agent = os.open(path, os.O_RDONLY), os.open(path, os.O_RDWR)
    assert not lock.is_held(reader)
    assert not house.load().pending.agent_alive
    assert lock.try_lock(agent)
    assert house.load().pending.agent_alive
    os.close(agent)
    assert not house.load().pending.agent_alive
    os.close(reader)


def test_reading_it_leaves_no_lock_behind(house: House) -> None:
    path = house.write(house.entry())
    house.load()
    agent = os.open(path, os.O_RDWR)
    assert lock.try_lock(agent)
    os.close(agent)


@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_file_that_was_cut_off_while_it_was_created_says_nothing(house: House, size: int) -> None:
    os.truncate(house.write(house.entry()), size)
    one = house.load()
    assert one.state is None
    assert not one.pending.recorded


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_no_file_is_refused_at_once(house: House, plant: str) -> None:
    PLANTS[plant](house.state / "d" / "0.state")
    with pytest.raises((StateFileError, OSError)):
        house.load()


def test_a_transfer_that_ends_with_its_job_is_as_good_as_cancelled_when_the_job_is_gone(
    house: House,
) -> None:
    house.write(house.entry(), parts=2, ends_with_job=True)
    house.write(house.entry(), part=1, parts=2)
    assert house.load(0).pending.cancelled
    assert not house.load(1).pending.cancelled
