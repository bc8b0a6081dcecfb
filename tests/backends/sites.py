"""Real daemons for tests: started as a user starts them, killed by their pid."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poststage.backends import emulator, local
from poststage.backends.base import Context
from poststage.copier import client, daemon
from poststage.copier import protocol as p
from poststage.copier import root as roots

DEADLINE_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail when the deadline has passed."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.005)


def pid_of(root: Path) -> int | None:
    """The pid of the daemon that has `root`; None if none has."""
    if not root.is_dir() or roots.is_free(root):
        return None
    root_fd = os.open(root, os.O_RDONLY)
    try:
        holder = roots.holder(root_fd)
    finally:
        os.close(root_fd)
    return None if holder is None else holder.pid


def end_daemon(root: Path, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal the daemon of `root` and wait until it is gone; False if there is none."""
    pid = pid_of(root)
    if pid is None:
        return False
    os.kill(pid, number)
    until(lambda: roots.is_free(root))
    return True


def proven(root: Path) -> int | None:
    """At which byte the daemon of `root` went on last inside a file; None if it never did."""
    told = re.findall(r": of \d+ bytes (\d+) are proven", (root / "log").read_text("utf-8"))
    return int(told[-1]) if told else None


def control(root: Path, name: str, value: Any = None) -> Any:
    """An owner's request to the daemon."""
    with client.session(root, 10) as session:
        reply = session.ask(p.Control(name, value))
    assert isinstance(reply, p.ControlReply)
    return reply.value


class EmulatorSite:
    """An emulator with its root in `folder`."""

    tag = "0123456789abcdef"

    def __init__(self, folder: Path) -> None:
        self.root = folder / "emulator"
        self.source_dir, self.destination_dir = folder / "bb", folder / "pfs"
        self.source_dir.mkdir()
        self.destination_dir.mkdir()
        context = Context(folder, {**emulator.BACKEND.defaults, "root": str(self.root)})
        self.mover = emulator.BACKEND.open_mover(context)
        self.probe = emulator.BACKEND.open_probe(context)
        self.start()

    def start(self, *more: str) -> int:
        """Start the daemon; its pid."""
        return daemon.spawn("poststage.emulator", [f"--root={self.root}", *more])

    def fault(self, **faults: Any) -> Any:
        """Put exactly `faults` in force."""
        return control(self.root, "faults", faults)

    def pace(self, mb_s: float) -> bool:
        """As the contract's."""
        self.fault(**({"limit_mb_s": mb_s} if mb_s else {}))
        return True

    def kill(self) -> bool:
        """As the contract's."""
        return end_daemon(self.root)

    def revive(self) -> None:
        """As the contract's."""
        self.start()


class LocalSite:
    """The `local` backend with its STATEDIR in `folder`."""

    tag = "0123456789abcdef"

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.state_dir = folder / "state"
        self.source_dir, self.destination_dir = folder / "bb", folder / "pfs"
        for made in (self.state_dir, self.source_dir, self.destination_dir):
            made.mkdir()
        self._open(settings)

    def _open(self, settings: dict[str, Any]) -> None:
        merged = {**local.BACKEND.defaults, "progress_mb": 1, **settings}
        self.context = Context(self.state_dir, merged)
        self.mover = local.BACKEND.open_mover(self.context)
        self.probe = local.BACKEND.open_probe(self.context)

    @property
    def root(self) -> Path:
        """The root of this host's copier."""
        return self.state_dir / ".local" / os.uname().nodename

    def pace(self, mb_s: float) -> bool:
        """As the contract's: a setting of a copier that is yet to be started."""
        if pid_of(self.root) is None:
            self._open({"limit_mb_s": float(mb_s)})
        return True

    def kill(self) -> bool:
        """As the contract's."""
        return end_daemon(self.root)

    def revive(self) -> None:
        """As the contract's: the next agent on the node starts it."""
        self.mover.handle("revived")
