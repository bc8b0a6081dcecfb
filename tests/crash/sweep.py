"""Inject one thing into a run, look at what it left, recover, look again."""

import errno
import itertools
import os
import random
import stat
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct

from tests.crash import laws, states, trees
from tests.crash.forkserver import SELF, ForkServer, Job, Outcome, Who
from tests.crash.laws import Scene
from tests.crash.shim import NONE, Action, Call, Injection, Kind
from tests.crash.trees import Node, Tree

NEEDS_PERSON = 3
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

# Refused with these, a call lies about names: what the program concludes may differ then.
ABOUT_NAMES = frozenset({errno.ENOENT, errno.EEXIST})


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
        self._known: dict[tuple[Hashable, bool], tuple[str, ...]] = {}
        """What came of a clean run over a state that a point has left."""
        self.before = self.lay()
        self.first = self.run(log=True)
        self.calls = self.shim.log()
        self.end = trees.look(root)

    def uninterrupted(self) -> Finding:
        """What is wrong with the end of a run into which nothing was injected."""
        found = laws.violations(self.scene, self.before, self.end)
        if self.first.status != self.scene.done_status:
            found.append(f"the uninterrupted run ended with {self.first.status}")
        if self.scene.settled(self.end) is not self.scene.settles:
            found.append("law 4: the uninterrupted run has committed what it may not, or not all")
        found += [
            f"law 6: the atime of {one.destination!r} is not the recorded one"
            for one in self.scene.promises
            if one.new is not None and not self._has_atime(one.destination, one.new)
        ]
        return Finding((), True, "", (*found, *self.recover()), self.first.output)

    def _has_atime(self, name: bytes, new: Node) -> bool:
        there = self.end.get(name)
        return there is None or new.kind == stat.S_IFDIR or there.atime_ns == new.atime_ns

    def lay(self) -> Tree:
        """The scene laid out anew; what is there then."""
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
        before, found, call = self.lay(), list[str](), ""
        fired, unsure, outcome, now = False, False, Outcome(None, ""), before
        for number, injection in enumerate(injections):
            outcome = self.run(injection, log=True)
            calls, now = self.shim.log(), trees.look(self.root)
            fired = self.shim.fired > 0
            call = call or self.shim.fired_call
            unsynced = _unsynced(calls)
            unsure = unsure or injection.error in ABOUT_NAMES or unsynced
            if number == 0 and not fired:
                found.append(f"the harness: nothing fired, {self.shim.count} calls")
            found += self._judge_run(injection, outcome, before, now, unsynced=unsynced)
            found += self._judge_syncs(calls, before, now)
        found += self._afterwards(now, before, unsure=unsure)
        return Finding(injections, fired, call, tuple(found), outcome.output if found else "")

    def recovery(self, injection: Injection) -> tuple[Hashable, list[Call]]:
        """The state that `injection` leaves, and the calls of a run over it."""
        self.lay()
        self.run(injection)
        left = self._key(trees.look(self.root))
        self.run(log=True)
        return left, self.shim.log()

    def _key(self, now: Tree) -> Hashable:
        return states.key(now, self.scene.known)

    def _afterwards(self, now: Tree, before: Tree, *, unsure: bool) -> tuple[str, ...]:
        """What a clean run makes of what is there now: run once for each different state."""
        key = (self._key(now), unsure)
        if key not in self._known:
            self._known[key] = tuple(self._given_up(before) if unsure else self.recover())
        return self._known[key]

    def _judge_syncs(self, calls: Sequence[Call], before: Tree, now: Tree) -> Iterator[str]:
        """Law 7: whatever came after it, a file whose fsync was refused got no name.

        One that was interrupted was only made again.
        """
        refused = {
            call.ino
            for call in calls
            if call.error not in {0, errno.EINTR} and call.kind & Kind.SYNC
        }
        named = {node.ino for name, node in now.items() if self._is_final(name)}
        for promise in self.scene.promises:
            temp = before.get(promise.temp)
            if temp is not None and temp.ino in refused & named:
                yield f"law 7: the fsync of {promise.temp!r} had failed, and it was published"

    def _is_final(self, name: bytes) -> bool:
        return any(name == promise.destination for promise in self.scene.promises)

    def _given_up(self, before: Tree) -> Iterator[str]:
        """After a failed sync or a lie about names: kept and named, or whole after all."""
        clean = self.run()
        yield from laws.violations(self.scene, before, trees.look(self.root), settled=False)
        if clean.status not in {self.scene.done_status, NEEDS_PERSON}:
            yield f"law 7: the clean run ended with {clean.status}: {clean.output}"

    def _judge_run(
        self, injection: Injection, outcome: Outcome, before: Tree, now: Tree, *, unsynced: bool
    ) -> Iterator[str]:
        lied_to = injection.error in ABOUT_NAMES
        settled = False if unsynced else None
        for text in laws.violations(self.scene, before, now, settled=settled):
            if not (lied_to and text.startswith(laws.LEFT)):  # nobody deletes what is not there
                yield text
        if outcome.status is None:
            yield "law 9: the run did not end"
        # Told that the state file does not exist, nobody can know that there is work.
        if outcome.status == 0 and not self.scene.settled(now) and not lied_to:
            yield f"law 4: exit {outcome.status}, and not all is committed"
        if not lied_to and is_bug(outcome):
            yield f"exit {outcome.status}: the program calls it a bug of its own"

    def recover(self) -> Iterator[str]:
        """One clean run gives the end; one more changes nothing."""
        clean, done = self.run(), self.scene.done_status
        now = trees.look(self.root)
        if clean.status != done:
            yield f"law 5: the clean run ended with {clean.status}, not {done}: {clean.output}"
        yield from laws.differences(self.scene, self.end, now)
        again = self.run(log=True)
        if again.status != done:
            yield f"law 5: the run after the clean one ended with {again.status}: {again.output}"
        # filelock tries to make its file and the directory, and is told that they are there.
        log = (call for call in self.shim.log() if call.error != errno.EEXIST)
        made = [call for call in log if call.kind & Kind.CHANGE]
        if made:
            names = [f"{call.name} {os.fsdecode(call.path)}" for call in made]
            yield f"law 5: the run after the clean one made changing calls: {names}"


def _unsynced(calls: Iterable[Call]) -> bool:
    """Whether a sync was refused: from then on nobody knows what the disk holds."""
    return any(call.error and call.kind & Kind.SYNC for call in calls)


def is_bug(outcome: Outcome) -> bool:
    """Whether the program itself says so, or shows a traceback.

    A generator that is closed while the process ends may show one that nobody can catch.
    """
    shown = outcome.output.count("Traceback") > outcome.output.count("Exception ignored in")
    return outcome.status == 1 or shown


class Run(Protocol):
    """A run whose calls are known."""

    @property
    def calls(self) -> list[Call]:
        """Those of an uninterrupted run."""

    def count(self, mask: Kind) -> int:
        """How many of them are of `mask`."""


def kills(rig: Run, mask: Kind = Kind.ANY) -> Iterator[Injection]:
    """A kill before the first call of `mask`, after every one, and within every write.

    After one call is before the next: what is done in between is seen by nobody outside.
    """
    yield Injection(Action.KILL, 1, mask=mask)
    for at in range(1, rig.count(mask) + 1):
        yield Injection(Action.KILL, at, after=True, mask=mask)
    writes = [call.sequence for call in rig.calls if call.name == "write" and call.result > 1]
    for at in writes:
        yield Injection(Action.KILL_TORN, at)


def refusals(rig: Run) -> Iterator[Injection]:
    """Each errno that makes sense at every call, once and from then on."""
    for call in rig.calls:
        yield from refusals_at(call)


def refusals_at(call: Call) -> Iterator[Injection]:
    """Each errno that makes sense at one call, once and from then on."""
    for error in ERRNOS:
        if call.by_name or error not in ABOUT_NAMES:
            yield Injection(Action.REFUSE, call.sequence, error=error)
        if error not in ABOUT_NAMES:  # no fault makes every name missing, or taken, for good
            yield Injection(Action.REFUSE, call.sequence, error=error, sticky=True)


def short_writes(rig: Run) -> Iterator[Injection]:
    """Every write that takes half of what it was given and says so."""
    for call in rig.calls:
        if call.name == "write" and call.result > 1:
            yield Injection(Action.SHORT, call.sequence)


def failed_syncs(rig: Run) -> Iterator[Injection]:
    """Every sync refused for good, once, and just often enough that the next one succeeds."""
    for at in range(1, rig.count(Kind.SYNC) + 1):
        for limit in (0, 1, 2, 3):
            for error in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                yield Injection(
                    Action.REFUSE, at, error=error, sticky=True, limit=limit, mask=Kind.SYNC
                )


_MATTERS = Kind.CHANGE | Kind.SYNC


def double_kills(rig: Run) -> Iterator[tuple[Injection, Injection]]:
    """A kill at every call that matters, and then at every one of the run that recovers."""
    at = range(1, rig.count(_MATTERS) + 1)
    for one, two in itertools.product(at, at):
        yield _kill(one), _kill(two)


def _kill(at: int) -> Injection:
    return Injection(Action.KILL, at, mask=_MATTERS)


def killed_twice(rig: Rig) -> Iterator[tuple[Injection, Injection]]:
    """Those of `double_kills` that there are: the second at each call that the recovery makes.

    Where the first kill leaves a state that an earlier one has left, there is nothing new.
    """
    seen: set[Hashable] = set()
    for one in map(_kill, range(1, rig.count(_MATTERS) + 1)):
        left, calls = rig.recovery(one)
        if left not in seen:
            for two in range(1, sum(1 for call in calls if call.kind & _MATTERS) + 1):
                yield one, _kill(two)
        seen.add(left)


Point = TypeVar("Point")


def turn(points: Iterable[Point], number: int, of: int) -> list[Point]:
    """Of `points`, dealt out in turn to `of` receivers, those of receiver `number` (from 0)."""
    return list(points)[number::of]


def chosen(points: Iterable[Point], budget: int | None, *, seed: int = 1) -> list[Point]:
    """All points, or `budget` of them drawn by `seed`, in their order."""
    every = list(points)
    if budget is None or len(every) <= budget:
        return every
    drawn = random.Random(seed).sample(range(len(every)), budget)
    return [every[index] for index in sorted(drawn)]
