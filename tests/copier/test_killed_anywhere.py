"""The daemon, killed at each of its file calls: the next one ends what was begun.

What a killed daemon has promised holds: a handle stays, a started transfer goes on,
a cancel is final, and a temp file that is called copied is whole.
"""

import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from poststage.backends import emulator
from poststage.backends.base import Answer, Context, Item
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.sites import end_daemon, pid_of, until
from tests.crash import shim
from tests.crash.shim import Action, Injection, Kind, Shim

TAG = "0123456789abcdef"
SIZES = (0, 70_000, 200_000)
MASK = Kind.CHANGE | Kind.SYNC
STEP = int(os.environ.get("KILL_STEP", "7"))  # 1 kills at every call


class Scene:
    """Files, a root, and a client that does its work as far as the daemon lives."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        for name in ("bb", "pfs"):
            (folder / name).mkdir(parents=True)
        self.items = [self._item(index, size) for index, size in enumerate(SIZES)]
        context = Context(folder, {**emulator.BACKEND.defaults, "root": str(self.root)})
        self.mover = emulator.BACKEND.open_mover(context)
        self.probe = emulator.BACKEND.open_probe(context)
        self.handle = ""
        self.started = self.cancelled = False

    def _item(self, index: int, size: int) -> Item:
        source, target = self.folder / "bb" / str(index), self.folder / "pfs" / f".{index}"
        source.write_bytes(os.urandom(size))
        info = source.stat()
        paths = os.fsencode(source), os.fsencode(target)
        return Item(index, *paths, info.st_size, info.st_mtime_ns)

    def start_daemon(self, environment: dict[str, str] | None = None, threads: int = 2) -> None:
        """A daemon; with the shim it may not live to say that it serves."""
        command = [sys.executable, "-P", "-m", "poststage.copier", f"--root={self.root}"]
        more = ["--prove-bytes=65536", "--bytes-per-s=600000", f"--threads={threads}"]
        subprocess.run([*command, *more], env=environment, check=False, capture_output=True)

    def client(self, *, cancels: bool) -> None:
        """Hand over, start, and cancel or wait, until the daemon is dead or done."""
        with suppress(BackendError):
            self.handle = self.mover.handle(TAG)
            self.mover.start(self.handle, self.items)
            self.started = True
            if cancels:
                until(lambda: os.path.exists(self.items[1].target) or not self.alive())
                self.cancelled = self.probe.cancel(self.handle).state.ended
            until(lambda: self.answer().state.ended or not self.alive())

    def alive(self) -> bool:
        """Whether a daemon has the root."""
        return pid_of(self.root) is not None

    def answer(self) -> Answer:
        """What it says now."""
        return self.probe.answers([self.handle])[self.handle]

    def judge(self, answer: Answer) -> list[str]:
        """What is wrong with this answer."""
        wrong = []
        for item in self.items:
            state = answer.files[item.index].state if item.index in answer.files else None
            whole = self._is_whole(item)
            if state is TransferState.FULLSUCCESS and not whole:
                wrong.append(f"file {item.index} is called copied and is not")
            if state is TransferState.CANCELED and os.path.lexists(item.target):
                wrong.append(f"file {item.index} is cancelled and there")
        return wrong

    def _is_whole(self, item: Item) -> bool:
        with suppress(FileNotFoundError):
            target, source = Path(os.fsdecode(item.target)), Path(os.fsdecode(item.source))
            return target.read_bytes() == source.read_bytes()
        return False


@pytest.fixture(scope="module")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """The preloaded library and its page."""
    if shim.compiler() is None:
        pytest.skip("no C compiler on this machine")
    directory = tmp_path_factory.mktemp("shim")
    return Shim(shim.build(directory), directory)


def has_ended(scene: Scene) -> bool:
    """Whether the daemon says so."""
    return scene.answer().state.ended


def calls_of(shims: Shim, folder: Path, *, cancels: bool) -> int:
    """How many calls a daemon makes that nobody kills."""
    scene = Scene(folder)
    shims.arm(folder, Injection(mask=MASK), log=True)
    scene.start_daemon(shims.environment())
    scene.client(cancels=cancels)
    end_daemon(scene.root)
    shims.stand_down()
    return sum(1 for call in shims.log() if call.kind & MASK)


def killed_at(shims: Shim, folder: Path, at: int, *, after: bool, cancels: bool) -> Scene:
    """A scene whose daemon was killed at this call; a new one runs."""
    scene = Scene(folder)
    action = Action.KILL if after else Action.KILL_TORN
    shims.arm(folder, Injection(action, at=at, after=after, mask=MASK))
    scene.start_daemon(shims.environment())
    scene.client(cancels=cancels)
    if not shims.fired:  # threads: not every run makes as many calls
        end_daemon(scene.root)
    shims.stand_down()
    scene.start_daemon()
    assert scene.alive(), f"call {at}: the next daemon does not start"
    return scene


@pytest.mark.parametrize("after", [False, True], ids=["torn", "after"])
def test_killed_at_any_call_the_next_daemon_completes_the_transfer(
    shims: Shim, tmp_path: Path, after: bool
) -> None:
    calls = calls_of(shims, tmp_path / "whole", cancels=False)
    assert calls > 30
    for at in range(1 + calls % STEP, calls + 1, STEP):
        scene = killed_at(shims, tmp_path / str(at), at, after=after, cancels=False)
        try:
            before = scene.handle
            handle = scene.handle = scene.mover.handle(TAG)
            assert before in {"", handle}, f"call {at}: the handle has changed"
            if scene.started:
                assert scene.answer().state is not TransferState.NOTSTARTED, f"call {at}"
            assert scene.judge(scene.answer()) == [], f"call {at}"
            scene.mover.start(handle, scene.items)
            until(partial(has_ended, scene))
            assert scene.answer().state is TransferState.FULLSUCCESS, f"call {at}"
            assert scene.judge(scene.answer()) == [], f"call {at}"
        finally:
            end_daemon(scene.root)


def test_killed_at_any_call_of_a_cancel_nothing_is_called_what_it_is_not(
    shims: Shim, tmp_path: Path
) -> None:
    calls = calls_of(shims, tmp_path / "whole", cancels=True)
    for at in range(1 + calls % STEP, calls + 1, STEP):
        scene = killed_at(shims, tmp_path / str(at), at, after=False, cancels=True)
        try:
            scene.handle = scene.mover.handle(TAG)
            answer = scene.answer()
            assert scene.judge(answer) == [], f"call {at}"
            if scene.cancelled:
                assert answer.state is TransferState.CANCELED, f"call {at}"
            answer = scene.probe.cancel(scene.handle)
            assert answer.state.ended, f"call {at}"
            assert scene.judge(answer) == [], f"call {at}"
        finally:
            end_daemon(scene.root)
