"""Rank 0's guests: what they take is counted once, and what they leave behind is taken up again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize import ranks
from poststage.finalize.hosting import Guests, listening
from poststage.finalize.parallel import Taking
from poststage.finalize.ranks import Line, Task
from poststage.finalize.window import Result, tally_of

BASE = b"/s"
PENDING = [ranks.pending_of(b"d", b"%d.state" % part, BASE) for part in range(10)]


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[Guests]:
    found = listening(os.fsencode(tmp_path), 2)
    assert found is not None
    yield found.on_terms(wait=True, held=lambda directory: False)
    found.close()


def called(tmp_path: Path) -> Line:
    """A guest's line."""
    fd = fsops.open_dir(os.fsencode(tmp_path))
    line = ranks.call(fd)
    os.close(fd)
    assert line is not None
    return line


def worked(task: Task) -> Result:
    """Each state file is seen."""
    result = Result({}, [], [])
    tally_of(result, b"d").seen |= {int(name.partition(b".")[0]) for _, name in task.files}
    return result


def test_a_guest_takes_what_there_is_and_it_is_counted(guests: Guests, tmp_path: Path) -> None:
    line, taking, seen = called(tmp_path), Taking(PENDING, 1, 2), 0
    guests.lend(taking)
    while seen < len(PENDING):
        task = line.task()
        assert task.wait
        seen += len(task.files)
        line.send(ranks.done_of(worked(task)))
    assert guests.settled(taking, lambda: False)
    assert guests.collected().tallies[b"d"].seen == set(range(10))
    guests.close()
    assert line.task().files == []
    line.close()


def test_what_a_guest_held_that_goes_comes_back(guests: Guests, tmp_path: Path) -> None:
    line, taking = called(tmp_path), Taking(PENDING, 1, 2)
    guests.lend(taking)
    held = line.task().files
    line.close()
    while not taking.returned:
        assert not guests.settled(taking, lambda: False) or not taking.returned
    assert [(one.directory, one.name) for one in taking.returned] == held
    assert not guests.settled(taking, lambda: False)


def test_what_is_still_out_when_the_time_is_over_is_to_be_run_again(
    guests: Guests, tmp_path: Path
) -> None:
    line, taking = called(tmp_path), Taking(PENDING, 1, 2)
    guests.lend(taking)
    held = line.task().files
    assert guests.settled(taking, lambda: True)
    tally = guests.collected().tallies[b"d"]
    assert ExitCode.RUN_AGAIN in tally.codes
    assert tally.report().problems_in_all == len(held)
    assert {b"%d.state" % part for part in tally.seen} == {name for _, name in held}
    line.close()


def test_where_nobody_can_listen_the_first_rank_works_alone(tmp_path: Path) -> None:
    assert listening(os.fsencode(tmp_path / "missing"), 2) is None
