"""The copy engine, refused or cut short at any file call: what it calls copied is whole."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.crash import disk, reorder, sweep, trees
from tests.crash.forkserver import ForkServer, Job, Outcome
from tests.crash.programs import MODULES
from tests.crash.shim import NONE, Call, Injection, Kind, Shim
from tests.crash.sweep import Finding
from tests.crash.tally import budget, count

CONTENT = b"begin" + os.urandom(9000) + bytes(30_000) + b"end"
FOLDER = trees.directory()
ONE = {"one": CONTENT}
SEVERAL = {f"file{number}": CONTENT[: 9000 + number] for number in range(6)}
COPY = {1: "tests.crash.programs:copy", len(SEVERAL): "tests.crash.programs:copies"}


class CopyRig:
    """Sources in one directory, and their temp files in another."""

    def __init__(self, server: ForkServer, root: Path, sources: dict[str, bytes]) -> None:
        self.server, self.root, self.sources = server, root, sources
        self.before = self._lay()
        self.first = self.run(NONE)
        self.calls: list[Call] = server.shim.log()

    def _lay(self) -> trees.Tree:
        tree = {b"": FOLDER, b"bb": FOLDER, b"out": FOLDER}
        for name, content in self.sources.items():
            tree[b"bb/" + os.fsencode(name)] = trees.file(content, mode=0o640)
        trees.lay(self.root, tree)
        return trees.look(self.root)

    def run(self, injection: Injection) -> Outcome:
        """Copy the files."""
        self.server.shim.arm(self.root, injection, log=True)
        one = [str(self.root / "bb/one"), str(self.root / "out"), "one"]
        several = [str(self.root / "bb"), str(self.root / "out")]
        arguments = one if len(self.sources) == 1 else several
        return self.server.run(Job(COPY[len(self.sources)], tuple(arguments)))

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
        """Whether the temp files hold what the sources do."""
        temps = {name: self.root / "out" / name for name in self.sources}
        return all(
            path.exists() and path.read_bytes() == self.sources[name]
            for name, path in temps.items()
        )


@pytest.fixture(scope="module", params=[ONE, SEVERAL], ids=["one", "several"])
def rig(library: Path, workshop: Path, request: pytest.FixtureRequest) -> Iterator[CopyRig]:
    directory = workshop / f"copy-{len(request.param)}"
    directory.mkdir()
    with ForkServer(Shim(library, directory), directory, MODULES) as server:
        yield CopyRig(server, directory / "root", request.param)


def test_refused_anywhere_what_it_calls_copied_is_whole(rig: CopyRig) -> None:
    assert rig.first.status == 0
    every = list(sweep.refusals(rig))
    points = sweep.chosen(every, budget(sample=40, ci=300))
    assert count("copy engine, errno", map(rig.point, points), of=len(every)) == ""


def test_killed_anywhere_and_copied_again_it_is_whole(rig: CopyRig) -> None:
    assert count("copy engine, kill", map(rig.point, sweep.kills(rig))) == ""


def test_a_write_that_takes_less_than_it_was_given_is_continued(rig: CopyRig) -> None:
    assert count("copy engine, short write", map(rig.point, sweep.short_writes(rig))) == ""


def test_when_it_returns_the_bytes_and_the_name_are_durable_in_any_order(rig: CopyRig) -> None:
    root = os.fsencode(rig.root)
    steps = disk.history(rig.calls, root, (os.geteuid(), os.getegid()))
    last = [one for when, one in reorder.states(disk.disk_of(rig.before), steps)
            if when.startswith("at the end")]  # fmt: skip
    durable = reorder.durable(disk.disk_of(rig.before), steps)
    for state, (name, content) in product((durable, *last), rig.sources.items()):
        there = state.tree().get(b"out/" + os.fsencode(name))
        assert there is not None
        assert there.content == content
