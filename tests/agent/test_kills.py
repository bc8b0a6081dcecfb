"""An agent killed at any file call leaves what the protocol says; an error leaves nothing half.

The laws: nothing is started that is not durably recorded; nothing is started twice; no source
changes; no destination name appears.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from poststage.model import Kind, State
from poststage.statefile import read_state
from tests.agent import programs
from tests.crash import trees
from tests.crash.forkserver import ForkServer, Job, Outcome
from tests.crash.shim import NONE, Action, Call, Injection, Shim
from tests.crash.shim import Kind as CallKind

ENTRIES = 7  # two directories, three files, a further name, a symlink
FILES = 3
ERRORS = (5, 13, 28, 122)  # EIO, EACCES, ENOSPC, EDQUOT


class Rig:
    """One scene and what runs in it."""

    def __init__(self, server: ForkServer, root: Path) -> None:
        self.server, self.root = server, root
        self.outcome = Outcome(None, "")

    def run(self, injection: Injection = NONE, *, log: bool = False) -> Outcome:
        """Hand over in a fresh scene, with `injection`."""
        if self.root.exists():
            shutil.rmtree(self.root)
        programs.lay(self.root)
        self.sources = self._sources()
        self.server.shim.arm(self.root, injection, log=log)
        job = Job("tests.agent.programs:hand_over", (str(self.root),))
        self.outcome = self.server.run(job)
        self.server.shim.stand_down()
        return self.outcome

    def finalize(self) -> Outcome:
        """The real finalizer, once, without waiting."""
        names = (self.root, self.root / "state", self.root / "vendor/site.toml")
        return self.server.run(Job("tests.agent.programs:finalize", tuple(map(str, names))))

    def starts(self) -> int:
        """How often the vendor was told to start something."""
        ledger = self.root / "vendor/ledger"
        return sum(len(path.read_text().splitlines()) for path in ledger.glob("*.started"))

    def state(self) -> State | None:
        """What the state file says; None if it is not there or says nothing yet."""
        path = self.root / "state" / programs.DATASET / "0.state"
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return read_state(fd, bytes(path))
        finally:
            os.close(fd)

    def broken_laws(self) -> Iterator[str]:
        """What of the laws does not hold now."""
        state, starts = self.state(), self.starts()
        if starts > 1:
            yield f"started {starts} times"
        if starts and (state is None or not state.recorded or state.handle is None):
            yield "started, and not recorded with its handle"
        if starts and state is not None and len(state.entries) != ENTRIES:
            yield f"started with {len(state.entries)} entries"
        if state is not None and state.started and not starts:
            yield "recorded as started, and not started"
        if self._sources() != self.sources:
            yield "a source has changed"
        yield from self._appeared()

    def _sources(self) -> trees.Tree:
        """The sources, but for the atimes of links and directories: looking changes those."""
        return {
            name: node if stat.S_ISREG(node.kind) else replace(node, atime_ns=0)
            for name, node in trees.look(self.root / "bb").items()
        }

    def _appeared(self) -> Iterator[str]:
        for name, node in trees.look(self.root / "pfs").items():
            if not stat.S_ISDIR(node.kind):
                yield f"{name!r} has appeared: {node}"


@pytest.fixture(scope="module")
def rig(library: Path, workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("agent")
    modules = ["tests.agent.programs", "poststage.finalize.run"]
    with ForkServer(Shim(library, directory), directory, modules) as server:
        yield Rig(server, workshop / "agent")


def calls_of(rig: Rig) -> list[Call]:
    assert rig.run(log=True).status == 0, rig.outcome.output
    return rig.server.shim.log()


def test_without_a_kill_all_laws_hold(rig: Rig) -> None:
    assert rig.run().status == 0, rig.outcome.output
    assert list(rig.broken_laws()) == []
    state = rig.state()
    assert state is not None
    assert (rig.starts(), state.started) == (1, True)
    assert sum(entry.kind is Kind.FILE for entry in state.entries) == FILES


def test_everything_is_durable_before_the_start_and_directories_are_made_between(
    rig: Rig,
) -> None:
    calls = calls_of(rig)
    top = os.fsencode(rig.root)
    started = next(i for i, call in enumerate(calls) if call.other.endswith(b".started"))
    before = calls[:started]
    synced = {call.path for call in before if call.kind & CallKind.SYNC}
    state_dir = top + b"/state"
    wanted = {state_dir + b"/set/0.state", state_dir + b"/set", state_dir, top, top + b"/pfs"}
    assert wanted <= synced
    last_write = max(
        i for i, c in enumerate(before) if c.name == "write" and c.path.endswith(b".state")
    )
    file_sync = next(
        i for i, c in enumerate(before) if c.kind & CallKind.SYNC and c.path.endswith(b".state")
    )
    first_made = next(
        i for i, c in enumerate(before) if c.name.startswith("mkdir") and b"/pfs/" in c.path
    )
    handled = next(i for i, call in enumerate(before) if call.path.endswith(b".handle"))
    assert handled < last_write < file_sync < first_made < started


def test_a_kill_at_any_call_leaves_what_the_protocol_says(rig: Rig) -> None:
    count = len(calls_of(rig))
    found = []
    for at in range(1, count + 1):
        for after in (False, True):
            injection = Injection(Action.KILL, at, after=after)
            rig.run(injection)
            fired = rig.server.shim.fired_call
            found += [f"{injection} ({fired}): {law}" for law in rig.broken_laws()]
    assert count > 30
    assert found == []


def test_a_kill_within_a_write_leaves_what_the_protocol_says(rig: Rig) -> None:
    writes = [
        call.sequence
        for call in calls_of(rig)
        if call.name == "write" and call.path.endswith(b".state")
    ]
    assert writes
    for at in writes:
        rig.run(Injection(Action.KILL_TORN, at))
        assert list(rig.broken_laws()) == []


@pytest.mark.parametrize("error", ERRORS, ids=os.strerror)
def test_a_refused_call_is_an_explained_error_that_leaves_no_record_or_a_start(
    rig: Rig, error: int
) -> None:
    changing = CallKind.CHANGE | CallKind.SYNC
    calls = [call for call in calls_of(rig) if call.kind & changing]
    ours = sum(b"/ledger/" not in call.path for call in calls)
    found = []
    for at in range(1, len(calls) + 1):
        injection = Injection(Action.REFUSE, at, error=error, mask=changing)
        outcome = rig.run(injection)
        if b"/ledger/" in calls[at - 1].path:
            continue  # the vendor's own trouble
        laws = list(rig.broken_laws())
        if outcome.status == 1:
            laws.append(f"a bug: {outcome.output}")
        if rig.starts() != (rig.state() is not None):
            laws.append(f"{rig.starts()} starts, and the state file says {rig.state()}")
        found += [f"{injection} ({calls[at - 1].name} {calls[at - 1].path!r}): {x}" for x in laws]
    assert ours > 5
    assert found == []


def test_the_finalizer_settles_what_a_kill_left(rig: Rig) -> None:
    count = len(calls_of(rig))
    found = []
    for at in range(1, count + 1, 3):
        rig.run(Injection(Action.KILL, at))
        if not (rig.root / "state").exists():
            continue
        started = any((rig.root / "vendor/ledger").glob("*.started"))  # empty: it had begun
        outcome = rig.finalize()
        wanted = {75} if started else {0, 3}
        if outcome.status not in wanted:
            found.append(f"call {at}: finalize ended with {outcome.status}: {outcome.output}")
        found += [f"call {at}, finalized: {law}" for law in rig.broken_laws()]
    assert found == []
