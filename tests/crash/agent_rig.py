"""An application that hands files over, stopped anywhere; then the vendor, then the finalizer.

Law 13: whatever was stopped when, nothing is left that the finalizer does not resolve,
and nothing is started twice.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from tests.crash import trees, vendor
from tests.crash.finalize_scene import ids_of, state_of
from tests.crash.forkserver import ForkServer, Job, Outcome, Who
from tests.crash.shim import NONE, Call, Injection, Kind
from tests.crash.sweep import ABOUT_NAMES, Finding, is_bug
from tests.crash.trees import Node, Tree

HAND_OVER, FINALIZE = "tests.crash.programs:hand_over", "tests.crash.programs:work"
_RESOLVED = frozenset({0, 3})


class AgentRig:
    """One source tree and one user; every point hands it over anew."""

    def __init__(self, server: ForkServer, root: Path, site: Path, who: Who, mode: int) -> None:
        self.server, self.shim, self.root, self.site, self.who = (
            server,
            server.shim,
            root,
            site,
            who,
        )
        self._tree = _sources(ids_of(who), mode)
        self.before = self.lay()
        self.first = self._hand_over(NONE, log=True)
        self.calls = self.shim.log()

    def lay(self) -> Tree:
        """The sources laid out anew; what is there then."""
        trees.lay(self.root, self._tree)
        return trees.look(self.root)

    def _hand_over(
        self, injection: Injection, *, log: bool = False, program: str = HAND_OVER
    ) -> Outcome:
        self.shim.arm(self.root, injection, log=log)
        return self.server.run(self._job(program))

    def start(self, injection: Injection) -> None:
        """Begin to hand over."""
        self.shim.arm(self.root, injection)
        self.server.start(self._job(HAND_OVER))

    def _job(self, program: str) -> Job:
        places = (self.root / "state", self.site, self.root / "bb/tree", self.root / "out/tree")
        return Job(program, tuple(map(str, places)), self.who)

    def calls_of(self, program: str) -> list[Call]:
        """The calls of another program over the same files."""
        self.lay()
        assert self._hand_over(NONE, log=True, program=program).status == 0
        return self.shim.log()

    def used(self, program: str, injection: Injection) -> Finding:
        """Inject into `program`, which catches the errors that are ours and no others."""
        self.lay()
        ended = self._hand_over(injection, program=program)
        fired, call = self.shim.fired > 0, self.shim.fired_call
        found = [] if fired else ["the harness: nothing fired"]
        if ended.status is None:
            found.append("law 9: a call did not return")
        if is_bug(ended):
            found.append("a call has raised what is no error of ours")
        return Finding((injection,), fired, call, tuple(found), ended.output if found else "")

    def _finalize(self) -> Outcome:
        self.shim.arm(self.root)
        arguments = (str(self.root / "state"), str(self.site), "file")
        return self.server.run(Job(FINALIZE, arguments, self.who))

    def count(self, mask: Kind) -> int:
        """How many calls of `mask` an uninterrupted run makes."""
        return sum(1 for call in self.calls if call.kind & mask)

    def point(self, injection: Injection) -> Finding:
        """Inject into the agent, let the vendor end what was started, finalize, judge."""
        before = self.lay()
        handed = self._hand_over(injection)
        fired = self.shim.fired > 0 or injection == NONE
        call = self.shim.fired_call
        found = [] if fired else ["the harness: nothing fired"]
        found += self.judged(injection, handed, before)
        found += self.finished(before)
        return Finding((injection,), fired, call, tuple(found), handed.output if found else "")

    def finished(self, before: Tree) -> list[str]:
        """Let the vendor end what was started, finalize; what is wrong then."""
        self._vendor_ends()
        done = self._finalize()
        found = list(self._judge_end(done, before))
        return [*found, done.output] if found else []

    def judged(self, injection: Injection, ended: Outcome, before: Tree) -> Iterator[str]:
        """What is wrong when the agent has ended."""
        now = trees.look(self.root)
        if ended.status is None:
            yield "law 9: the agent did not end"
        if injection.error not in ABOUT_NAMES and is_bug(ended):
            yield f"exit {ended.status}: the agent calls it a bug of its own"
        starts = self._starts()
        if any(len(one) > 1 for one in starts.values()) or len(starts) > 1:
            yield f"law 13: started more than once: {starts}"
        if starts and not self._recorded(now, set(starts)):
            yield "law 13: started, and there is no record of it that is whole"
        if ended.status == 0 and not starts:
            yield "law 13: exit 0, and nothing was started"

    def _starts(self) -> dict[str, list[list[list[str]]]]:
        ledger = self.root / "ledger"
        return vendor.started(ledger) if ledger.exists() else {}

    def _recorded(self, now: Tree, tags: set[str]) -> bool:
        states = [state_of(node.content) for name, node in now.items() if name.endswith(b".state")]
        return {one.head.id for one in states if one is not None and one.recorded} == tags

    def _vendor_ends(self) -> None:
        """Move the bytes of what was started, as the user whose transfer it is."""
        owner = ids_of(self.who)
        for tag, starts in self._starts().items():
            for source, target in starts[0]:
                Path(target).write_bytes(Path(source).read_bytes())
                os.chown(target, *owner)
            vendor.answer(self.root / "ledger", tag, "FULLSUCCESS", {})

    def _judge_end(self, done: Outcome, before: Tree) -> Iterator[str]:
        now = trees.look(self.root)
        if b"state" not in now:  # it was stopped before it made STATEDIR: usage error
            yield from ["law 13: started without a record"] if self._starts() else []
        elif done.status not in _RESOLVED:
            yield f"law 13: finalize ended with {done.status}"
        for name, node in before.items():
            if name.startswith(b"bb/") and trees.unlike(node, now.get(name)):
                yield f"law 8: the source {name!r} was touched"
        moved = bool(self._starts())
        for name, node in self._tree.items():
            if name.startswith(b"bb/tree/") and node.kind == stat.S_IFREG:
                yield from _judge_file(name.replace(b"bb/", b"out/", 1), node, now, moved=moved)
        left = [name for name in now if name.endswith(b".poststage")]
        if left:
            yield f"law 3: temp files are left: {left}"
        again = self._finalize()
        if again.status != done.status:
            yield f"law 5: finalize ended with {done.status}, then with {again.status}"


def _judge_file(name: bytes, node: Node, now: Tree, *, moved: bool) -> Iterator[str]:
    there = now.get(name)
    if moved and (there is None or trees.unlike(node, there)):
        yield f"law 1: {name!r} was moved and is {trees.shown(there)}"
    if not moved and there is not None:
        yield f"law 3: {name!r} was never moved and is {trees.shown(there)}"


def _sources(ids: tuple[int, int], mode: int) -> Tree:
    uid, gid = ids
    folder = trees.directory(uid=uid, gid=gid)
    # A source that its user cannot read is refused, which is another story.
    one = trees.file(b"one " * 9, mode=mode | 0o400, uid=uid, gid=gid, mtime_ns=123456789)
    return {
        b"": folder,
        b"bb": folder,
        b"bb/tree": folder,
        b"bb/tree/one": one,
        b"bb/tree/sub": replace(folder, mode=0o700),
        b"bb/tree/sub/two": replace(one, content=b"", mtime_ns=-5),
        b"ledger": folder,
        b"out": folder,
    }
