"""One attack: the finalizer is stopped at a call, a name is swapped, it goes on, it is judged."""

import os
import select
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from tests.attack import victim
from tests.attack.actions import OF_STATE, SWAPS, Place, Swap
from tests.attack.victim import ATTACKER, SECRET
from tests.crash import trees
from tests.crash.finalize_scene import FinalizeScene
from tests.crash.forkserver import ForkServer, Job, Outcome, Stopped
from tests.crash.shim import NONE, Action, Injection, Questions
from tests.crash.trees import Node, Tree

# 1 is a bug; 2 cannot be, the command line is right.
STATUSES = frozenset({0, 3, 65, 75, 77})
_LOST = frozenset({2})  # STATEDIR itself was taken away


Theirs = Mapping[int, Node | None]
"""Inode number → what may not change of a file that others keep in the attacker's directory."""


class Attack(Struct, frozen=True):
    """What is done, and before which of the finalizer's calls (from 1)."""

    swap: Swap
    at: int
    back: bool = False
    """Whether all is as it was again before the call after that one."""

    def __str__(self) -> str:
        return f"before call {self.at}{' alone' if self.back else ''} {self.swap}"


class Rig:
    """A scene below `root` that is attacked again and again, and the victims beside it."""

    def __init__(self, server: ForkServer, root: Path, scene: FinalizeScene) -> None:
        self.server, self.shim = server, server.shim
        self.root, self.scene = root, scene
        self.trusted = scene.ids == (0, 0)
        self.hits = 0
        """Attacks that came to pass."""
        self._victim = victim.lay(root.parent / "victims")
        self.lay()
        self.first = self._run(None, log=True)
        self.calls = self.shim.log()

    def attacks(self) -> list[Attack]:
        """Every swap that the attacker can do, at every call, for good and for one call."""
        return [
            Attack(swap, at, back)
            for at in range(1, len(self.calls) + 1)
            for swap in self._swaps()
            for back in (False, True)
        ]

    def different(self) -> list[Attack]:
        """Those of `attacks` that the finalizer can tell apart.

        A name that was swapped is another one from the next call on that comes near it; swapped
        before any call between two such calls, it is the same to the finalizer.
        """
        near = {place: self._near(self.name_of(place)) for place in Place}
        return [one for one in self.attacks() if one.at in near[one.swap.place]]

    def _swaps(self) -> list[Swap]:
        return [swap for swap in SWAPS if not (self.trusted and swap.place in OF_STATE)]

    def _near(self, place: bytes) -> set[int]:
        """Which calls are about the name `place`, what is below it, or the directory it is in."""
        path = os.fsencode(self.root) + b"/" + place
        parent = os.path.dirname(path)
        return {
            call.sequence
            for call in self.calls
            for one in (call.path, call.other)
            if one in (parent, path) or one.startswith(path + b"/")
        }

    def suffer(self, attack: Attack) -> list[str]:
        """Lay everything out, attack, and say what was harmed."""
        theirs = self.lay()
        outcome = self._run(attack)
        found = [] if self.shim.fired else ["the harness: nothing fired"]
        self.hits += self.shim.fired > 0
        taken = attack.swap.place is Place.STATEDIR
        found += self.harm(theirs, outcome, also=_LOST if taken else frozenset())
        return [f"{attack}: {one}" for one in found]

    def harm(
        self, theirs: Theirs, outcome: Outcome, *, also: frozenset[int] = frozenset()
    ) -> list[str]:
        """What of the victims, of `theirs` and of the promises a run has harmed."""
        harm = self._victim.harm()
        now = trees.look(self.root)
        if harm:
            self._victim = victim.lay(self._victim.path)
        harm += victim.moved_harm(theirs, now) + self._gains(theirs)
        harm += [*_judged(outcome, STATUSES | also), *_leaks(now)]
        return [f"{one}\n{outcome.output[:300]}" for one in harm]

    def run_alone(self) -> Outcome:
        """A run that is not stopped anywhere."""
        return self._run(None)

    def lay(self) -> Theirs:
        """Lay the scene out; what in it belongs to others."""
        self.scene.lay(self.root)
        others = [name for name, node in victim.theirs().items() if node.uid != ATTACKER]
        return victim.essence_by_inode(trees.look(self.root), others)

    def _run(self, attack: Attack | None, *, log: bool = False) -> Outcome:
        injection = NONE
        if attack is not None:
            injection = Injection(Action.ASK, attack.at, sticky=attack.back)
        self.shim.arm(self.root, injection, log=log)
        with self.shim.questions() as questions:
            self.server.start(Job(self.scene.target, self.scene.arguments(self.root)))
            if attack is not None:
                self._answer(questions, attack)
            event = self.server.event()
        assert not isinstance(event, Stopped)
        return event

    def _answer(self, questions: Questions, attack: Attack) -> None:
        """Swap at the first question, swap back at the next, until the run has ended."""
        place = self.name_of(attack.swap.place)
        steps = [attack.swap.apply] + ([attack.swap.undo] if attack.back else [])
        fds = [questions.fileno(), self.server.events_fd]
        while questions.fileno() in select.select(fds, [], [], 60)[0]:
            questions.take()
            if steps:
                steps.pop(0)(self.root, place)
            if not steps:
                self.shim.stand_down()
            questions.answer()
            if not steps:
                return

    def name_of(self, place: Place) -> bytes:
        """The name below the root that `place` stands for."""
        kind, _, path = place.value.rpartition(b" ")
        if not kind:
            return path
        return path.rpartition(b"/")[0] + b"/" + self.temp_of(path)

    def temp_of(self, path: bytes) -> bytes:
        """The temp name of the entry with this destination."""
        entries = self.scene.parts[0].entries
        return next(entry.temp for entry in entries if entry.destination == path)

    def _gains(self, theirs: Iterable[int]) -> list[str]:
        allowed = {ATTACKER: frozenset({ATTACKER})}
        top = self.root
        if self.trusted:  # root's are the temp files that are not restored (yet)
            allowed[0] = frozenset({0})
            top = self.root / "home"
        return victim.gains(top, self._victim.inodes.union(theirs), allowed)


def _judged(outcome: Outcome, statuses: Iterable[int]) -> Iterator[str]:
    if outcome.status is None:
        yield "law 9: the run did not end"
    elif outcome.status not in statuses:
        yield f"ended with {outcome.status}"
    if "Traceback" in outcome.output:
        yield "the program calls it a bug of its own"
    if SECRET.decode() in outcome.output:
        yield "law 8: the secret was printed"


def _leaks(now: Tree) -> list[str]:
    """Files of anybody but root that hold what only root could read."""
    return [
        f"law 8: {name!r} holds the secret"
        for name, node in now.items()
        if node.uid != 0 and SECRET in node.content
    ]
