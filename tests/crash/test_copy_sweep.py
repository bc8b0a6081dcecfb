"""The copy engine, refused or cut short at any file call: what it calls copied is whole."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import disk, reorder, sweep, trees
from tests.crash.forkserver import ForkServer, Job, Outcome
from tests.crash.programs import MODULES
from tests.crash.shim import NONE, Call, Injection, Kind, Shim
from tests.crash.sweep import Finding
from tests.crash.tally import budget, count

COPY = "tests.crash.programs:copy"
CONTENT = b"begin" + os.urandom(9000) + bytes(30_000) + b"end"
FOLDER = trees.directory()


class CopyRig:
    """One source in one directory, and its temp file in another."""

    def __init__(self, server: ForkServer, root: Path) -> None:
        self.server, self.root = server, root
        self.before = self._lay()
        self.first = self.run(NONE)
        self.calls: list[Call] = server.shim.log()

    def _lay(self) -> trees.Tree:
        source = trees.file(CONTENT, mode=0o640)
        trees.lay(self.root, {b"": FOLDER, b"bb": FOLDER, b"bb/one": source, b"out": FOLDER})
        return trees.look(self.root)

    def run(self, injection: Injection) -> Outcome:
        """Copy the file."""
        self.server.shim.arm(self.root, injection, log=True)
        arguments = (str(self.root / "bb/one"), str(self.root / "out"), ".temp")
        return self.server.run(Job(COPY, arguments))

    def count(self, mask: Kind) -> int:
        """How many calls of `mask` an uninterrupted run makes."""
        return sum(1 for call in self.calls if call.kind & mask)

    def point(self, injection: Injection) -> Finding:
        """Inject, judge, and copy again."""
        self._lay()
        ended = self.run(injection)
        fired, call = self.server.shim.fired > 0, self.server.shim.fired_call
        found = [] if fired else ["the harness: nothing fired"]
        if ended.status == 0 and not self.whole():
            found.append("law 3: called copied, and is not whole")
        if sweep.is_bug(ended):
            found.append(f"exit {ended.status}: it calls it a bug of its own")
        if self.run(NONE).status != 0 or not self.whole():
            found.append("law 7: copied again, it is not whole")
        return Finding((injection,), fired, call, tuple(found), ended.output if found else "")

    def whole(self) -> bool:
        """Whether the temp file holds what the source does."""
        temp = self.root / "out/.temp"
        return temp.exists() and temp.read_bytes() == CONTENT


@pytest.fixture(scope="module")
def rig(library: Path, workshop: Path) -> Iterator[CopyRig]:
    directory = workshop / "copy"
    directory.mkdir()
    with ForkServer(Shim(library, directory), directory, MODULES) as server:
        yield CopyRig(server, directory / "root")


def test_refused_anywhere_what_it_calls_copied_is_whole(rig: CopyRig) -> None:
    assert rig.first.status == 0
    every = list(sweep.refusals(rig))
    points = sweep.chosen(every, budget(sample=40, ci=300))
    assert count("copy engine, errno", map(rig.point, points), of=len(every)) == ""


def test_a_write_that_takes_less_than_it_was_given_is_continued(rig: CopyRig) -> None:
    assert count("copy engine, short write", map(rig.point, sweep.short_writes(rig))) == ""


def test_when_it_returns_the_bytes_and_the_name_are_durable_in_any_order(rig: CopyRig) -> None:
    root = os.fsencode(rig.root)
    steps = disk.history(rig.calls, root, (os.geteuid(), os.getegid()))
    last = [one for when, one in reorder.states(disk.disk_of(rig.before), steps)
            if when.startswith("at the end")]  # fmt: skip
    durable = reorder.durable(disk.disk_of(rig.before), steps)
    for state in (durable, *last):
        there = state.tree().get(b"out/.temp")
        assert there is not None
        assert there.content == CONTENT
