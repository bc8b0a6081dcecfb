"""Inject one thing into a run, look at what it left, recover, look again."""

import errno
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from tests.crash import laws, trees
from tests.crash.forkserver import SELF, ForkServer, Job, Outcome, Who
from tests.crash.laws import Scene
from tests.crash.shim import NONE, Action, Injection, Kind
from tests.crash.trees import Tree

KILLED = -9
ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ESTALE,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EINTR,
    errno.ENOENT,
    errno.EEXIST,
    errno.EMFILE,
    errno.ENOMEM,
)


class Finding(Struct, frozen=True):
    """What one point showed."""

    injections: tuple[Injection, ...]
    fired: bool
    call: str
    violations: tuple[str, ...]
    output: str = ""

    def __str__(self) -> str:
        what = ", then ".join(map(str, self.injections)) or "nothing injected"
        return "\n  ".join((f"{what} ({self.call}):", *self.violations, self.output))


class Rig:
    """One scene, one fork server, one user: what a sweep needs at each point."""

    def __init__(self, server: ForkServer, root: Path, scene: Scene, who: Who = SELF) -> None:
        self.server, self.shim, self.who = server, server.shim, who
        self.root, self.scene = root, scene
        self.before = self._lay()
        self.first = self.run(log=True)
        self.calls = self.shim.log()
        self.counted = self.shim.count
        self.end = trees.look(root)

    def uninterrupted(self) -> Finding:
        """What is wrong with the end of a run into which nothing was injected."""
        found = laws.violations(self.scene, self.before, self.end)
        if self.first.status != self.scene.done_status:
            found.append(f"the uninterrupted run ended with {self.first.status}")
        if not self.scene.settled(self.end):
            found.append("the uninterrupted run has not committed")
        return Finding((), True, "", (*found, *self.recover()), self.first.output)

    def _lay(self) -> Tree:
        self.scene.lay(self.root)
        return trees.look(self.root)

    def run(self, injection: Injection = NONE, *, log: bool = False) -> Outcome:
        """One run of the target, as the directory is."""
        self.shim.arm(self.root, injection, log=log)
        job = Job(self.scene.target, self.scene.arguments(self.root), self.who)
        return self.server.run(job)

    def count(self, mask: Kind) -> int:
        """How many calls of `mask` an uninterrupted run makes."""
        return sum(1 for call in self.calls if call.kind & mask)

    def point(self, *injections: Injection) -> Finding:
        """Inject each in a run of its own, one after the other, and judge all that is seen."""
        before, found, call = self._lay(), list[str](), ""
        fired, outcome = False, Outcome(None, "")
        for number, injection in enumerate(injections):
            outcome = self.run(injection)
            fired = fired or self.shim.fired > 0
            call = call or self.shim.fired_call
            found += self._judge_run(injection, outcome, before, first=number == 0)
        found += self.recover()
        return Finding(injections, fired, call, tuple(found), outcome.output if found else "")

    def _judge_run(
        self, injection: Injection, outcome: Outcome, before: Tree, *, first: bool
    ) -> Iterator[str]:
        now = trees.look(self.root)
        yield from laws.violations(self.scene, before, now)
        if first and not self.shim.fired:
            yield f"the harness: nothing fired, {self.shim.count} calls"
        if outcome.status is None:
            yield "law 9: the run did not end"
        # Told that the state file does not exist, nobody can know that there is work.
        lied_to = injection.error == errno.ENOENT
        done = outcome.status == self.scene.done_status
        if done and not self.scene.settled(now) and not lied_to:
            yield f"law 4: exit {outcome.status}, and not all is committed"
        if outcome.status == 1:
            yield "exit 1: the program calls it a bug of its own"

    def recover(self) -> Iterator[str]:
        """One clean run gives the end; one more changes nothing."""
        clean = self.run()
        now = trees.look(self.root)
        if clean.status != self.scene.done_status:
            yield f"law 5: the clean run ended with {clean.status}: {clean.output}"
        yield from laws.differences(self.scene, self.end, now)
        again = self.run(log=True)
        if again.status != self.scene.done_status:
            yield f"law 5: the run after the clean one ended with {again.status}: {again.output}"
        if self.shim.changes:
            made = [f"{c.name} {os.fsdecode(c.path)}" for c in self.shim.log() if _changes(c.kind)]
            yield f"law 5: the run after the clean one made changing calls: {made}"


def _changes(kind: Kind) -> bool:
    return bool(kind & Kind.CHANGE)


def kills(rig: Rig, mask: Kind = Kind.ANY) -> Iterator[Injection]:
    """A kill before and after every call of `mask`, and within every write."""
    for at in range(1, rig.count(mask) + 1):
        yield Injection(Action.KILL, at, mask=mask)
        yield Injection(Action.KILL, at, after=True, mask=mask)
    writes = [call.sequence for call in rig.calls if call.name == "write" and call.result > 1]
    for at in writes:
        yield Injection(Action.KILL_TORN, at)


def refusals(rig: Rig, mask: Kind = Kind.ANY) -> Iterator[Injection]:
    """Each errno at every call of `mask`, once and from then on."""
    for at in range(1, rig.count(mask) + 1):
        for error in ERRNOS:
            yield Injection(Action.REFUSE, at, error=error, mask=mask)
            yield Injection(Action.REFUSE, at, error=error, mask=mask, sticky=True)


def chosen(points: Iterable[Injection], budget: int | None, *, seed: int = 1) -> list[Injection]:
    """All points, or `budget` of them drawn by `seed`, in their order."""
    every = list(points)
    if budget is None or len(every) <= budget:
        return every
    drawn = random.Random(seed).sample(range(len(every)), budget)
    return [every[index] for index in sorted(drawn)]
