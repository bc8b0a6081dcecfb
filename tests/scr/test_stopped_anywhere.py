"""`finalize --scr`, killed or refused at each of its calls: SCR's own files are never ahead.

At any instant, and under any order in which a disk may write back what was not synced, what
SCR's next job reads is whole: a dataset that its index calls complete is, and one that its
flush file has lost is in the index. The next run ends what was begun.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.axl.lay import unpack
from tests.crash import disk, reorder, shim, sweep, trees
from tests.crash.conftest import library, workshop
from tests.crash.forkserver import ForkServer, Job, Outcome
from tests.crash.programs import MODULES
from tests.crash.shim import NONE, Action, Call, Injection, Kind, Shim
from tests.crash.sweep import Finding
from tests.crash.tally import budget, count
from tests.crash.trees import Tree
from tests.scr.prefix import MTIME_NS, NEW, Prefix, nested_of

PROGRAM = "tests.scr.programs"
WHOLE, LACKING = (1, 3), 2
RANKS = 2
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

__all__ = ["library", "workshop"]


class Rig:
    """A prefix with an output, a checkpoint that lacks a rank's state file, and a whole one."""

    def __init__(self, server: ForkServer, root: Path) -> None:
        self.server, self.root = server, root
        self.before = self.lay()
        self.first = self.run(NONE)
        self.calls: list[Call] = server.shim.log()
        self.end = trees.look(root)

    def lay(self) -> Tree:
        """The prefix as SCR's killed job leaves it."""
        if self.root.exists():
            shutil.rmtree(self.root)
        prefix = Prefix(self.root)
        prefix.add(1, ranks=RANKS, output=True, checkpoint=False, name="ckpt.1")
        prefix.add(LACKING, ranks=RANKS)
        prefix.add(3, ranks=RANKS)
        prefix.state(LACKING, 1).unlink()
        return trees.look(self.root)

    def run(self, injection: Injection) -> Outcome:
        """One run."""
        self.server.shim.arm(self.root, injection, log=True)
        return self.server.run(Job(f"{PROGRAM}:finalize", (str(self.root),)))

    def count(self, mask: Kind) -> int:
        """How many calls of `mask` an uninterrupted run makes."""
        return sum(1 for call in self.calls if call.kind & mask)

    def point(self, injection: Injection) -> Finding:
        """Inject, judge, run again, judge."""
        self.lay()
        ended = self.run(injection)
        fired, call = self.server.shim.fired > 0, self.server.shim.fired_call
        found = [] if fired else ["the harness: nothing fired"]
        found += wrong(trees.look(self.root))
        if sweep.is_bug(ended):
            found.append(f"exit {ended.status}: it calls it a bug of its own")
        again = self.run(NONE)
        now = trees.look(self.root)
        found += wrong(now)
        if injection.action is not Action.REFUSE and (again.status, lasting(now)) != (
            self.first.status,
            lasting(self.end),
        ):
            found.append(f"law 5: the next run ends otherwise, with {again.status}")
        return Finding((injection,), fired, call, tuple(found), ended.output if found else "")


def read(tree: Tree, name: bytes) -> dict[str, Any]:
    """One of SCR's files, by an independent reader."""
    return nested_of(unpack(tree[b".scr/" + name].content))


def is_called_complete(index: dict[str, Any], number: int) -> bool:
    entry = index["DSET"][str(number)]
    return entry.get("COMPLETE") == {"1": {}} and "FAILED" not in entry


def wrong(tree: Tree) -> list[str]:
    """What SCR's next job would be told that is not so."""
    found = []
    index, flush = read(tree, b"index.scr"), read(tree, b"flush.scr")
    for number in (*WHOLE, LACKING):
        called = is_called_complete(index, number)
        if called and not is_complete(tree, number):
            found.append(f"law 4: dataset {number} is called complete and is not")
        if str(number) not in flush.get("DATASET", {}) and not called:
            found.append(f"law 4: dataset {number} is lost: neither pending nor complete")
    for name in index.get("CURRENT", {}):
        if not is_called_complete(index, int(name.removeprefix("ckpt."))):
            found.append(f"law 4: CURRENT is {name}, which is not complete")
    for name, node in tree.items():
        if name.startswith(b"ckpt.") and name.endswith(b".ckpt") and node.content != NEW:
            found.append(f"law 2: {name!r} has other contents")
    return found


def is_complete(tree: Tree, number: int) -> bool:
    """Whether the files are as recorded, and SCR's summary says that they are all there."""
    directory = b"scr.dataset.%d" % number
    if b".scr/" + directory + b"/summary.scr" not in tree:
        return False
    summary = read(tree, directory + b"/summary.scr")
    files = [node for name, node in tree.items() if name.startswith(b"ckpt.%d/" % number)]
    exact = all((node.mtime_ns, node.mode) == (MTIME_NS, 0o640) for node in files)
    return number != LACKING and summary["COMPLETE"] == {"1": {}} and exact


def lasting(tree: Tree) -> dict[bytes, object]:
    """What two runs that end alike leave alike."""
    kept: dict[bytes, object] = {}
    for name, node in tree.items():
        if name.endswith(b".scr") and node.content:
            kept[name] = DATE.sub("", repr(nested_of(unpack(node.content))))
        elif name.startswith(b"ckpt."):
            kept[name] = (node.content, node.mode)
        elif not name.endswith(b".json"):
            kept[name] = node.kind
    return kept


@pytest.fixture(scope="module")
def rig(library: Path, workshop: Path) -> Iterator[Rig]:
    if shim.compiler() is None:
        pytest.skip("no C compiler on this machine")
    directory = workshop / "scr"
    directory.mkdir()
    with ForkServer(Shim(library, directory), directory, [*MODULES, PROGRAM]) as server:
        yield Rig(server, directory / "prefix")


def test_the_uninterrupted_run_tells_scr_what_is_so(rig: Rig) -> None:
    assert rig.first.status == 3, rig.first.output
    assert wrong(rig.before) == wrong(rig.end) == []
    index = read(rig.end, b"index.scr")
    assert [n for n in (1, 2, 3) if is_called_complete(index, n)] == [1, 3], rig.first.output
    assert index["CURRENT"] == {"ckpt.3": {}}


def test_killed_at_any_call_the_next_run_ends_it(rig: Rig) -> None:
    every = list(sweep.kills(rig, Kind.CHANGE | Kind.SYNC))
    points = sweep.chosen(every, budget(sample=30, ci=1000))
    assert count("finalize --scr: kills", map(rig.point, points), of=len(every)) == ""


def test_refused_anywhere_scr_is_told_nothing_that_is_not_so(rig: Rig) -> None:
    every = list(sweep.refusals(rig))
    points = sweep.chosen(every, budget(sample=30, ci=1000))
    assert count("finalize --scr: refusals", map(rig.point, points), of=len(every)) == ""


def test_in_whatever_order_the_disk_writes_back_scr_is_told_nothing_that_is_not_so(
    rig: Rig,
) -> None:
    steps = disk.history(rig.calls, os.fsencode(rig.root), (os.geteuid(), os.getegid()))
    looked = 0
    for when, state in reorder.states(disk.disk_of(rig.before), steps, most=64):
        assert wrong(state.tree()) == [], when
        looked += 1
    assert looked > 50
