"""Transfers at every point of their lives, on real daemons: what a resume makes of them.

    python -m tests.agent.lives > docs/resume.md

writes the page; tests/agent/test_lives.py holds it against what happens.
"""

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poststage import config
from poststage.agent import Agent, Transfer, open_agent
from poststage.agent.reopened import Earlier, open_earlier
from poststage.copier import daemon
from poststage.errors import PoststageError
from poststage.finalize import finalize_dir, options_of
from poststage.model import TransferState
from tests.axl.lay import file, metadata, pack, transfer
from tests.backends.sites import control, end_daemon, pid_of, until

SIZE = 20_000_000
LARGE = 90_000_000  # of which a first part is proven: the daemons prove every 64 MB
PACE_MB_S = 60.0
MARK = b"kept"
DATA = b"\0" * SIZE


class Life:
    """One transfer of one file, its backend, and the places that it needs."""

    backend = ""
    content = DATA

    def __init__(self, top: Path) -> None:
        self.top, self.bb, self.pfs, self.state_dir = top, top / "bb", top / "pfs", top / "state"
        for made in (self.bb, self.pfs, self.state_dir):
            made.mkdir()
        self.source, self.destination = self.bb / "f", self.pfs / "f"
        self.source.write_bytes(self.content)
        self.state_file = self.state_dir / "d" / "0.state"
        self.temp = self.destination
        self.settle_s = 20.0
        self.lock_fd = -1
        self.marked = self.had_arrived = False

    def earlier(self) -> Earlier:
        """The transfer, opened from its state file."""
        return open_earlier(self.state_file, self.state_dir, self.top / "site.toml")

    def resumed(self) -> str:
        """What `Earlier.resume` says: the backend's state, or why it refuses."""
        try:
            with self.earlier() as earlier:
                return earlier.resume().state.value
        except PoststageError as error:
            fact = re.sub(r"^.*?/\S+: ", "", error.message).split(";")[0]
            return "refused: " + re.sub(r"announces \d+ bytes and has \d+", "is cut short", fact)

    def finalized(self) -> str:
        """How `finalize` ends it then: verdicts and exit status."""
        settings = config.load(self.top / "site.toml")
        report = finalize_dir(self.state_dir, options_of(settings, deadline_s=self.settle_s))
        files = {verdict: n for one in report.datasets for verdict, n in one.files.items()}
        return f"{', '.join(files) or 'nothing'} ({int(report.exit_code)})"

    def close(self) -> None:
        """End what runs."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)


class Daemons(Life):
    """A life whose file a daemon copies."""

    root = Path()

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self._agent: Agent | None = None

    def agent(self) -> Agent:
        """The agent of this life, opened once."""
        if self._agent is None:
            self._agent = open_agent(self.state_dir, site=self.top / "site.toml")
        return self._agent

    def recording(self) -> Transfer:
        """A transfer with its file added, not recorded."""
        found = self.agent().transfer("d", ends_with_job=False)
        found.add(self.source, self.destination)
        return found

    def begun(self) -> None:
        """Handed over; its temp file is known."""
        found = self.recording()
        found.dispatch()
        self.temp = self.pfs / f".f.{found.head.id}-0.poststage"

    def copied(self, least: int) -> None:
        """Return when at least `least` bytes are copied."""
        with self.earlier() as earlier:
            until(lambda: (earlier.answer().bytes_done or 0) >= least)

    def kill(self) -> None:
        """End the copier."""
        end_daemon(self.root)

    def restart(self) -> None:
        """Start it again, if nobody else does."""
        raise NotImplementedError

    def close(self) -> None:
        super().close()
        if self._agent is not None:
            self._agent.close()
        end_daemon(self.root)


class Local(Daemons):
    """`local`: the copier ends with the job, and a next job's resume starts it."""

    backend = "local"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        (top / "site.toml").write_text(
            f'[site]\nbackend = "local"\n[backend.local]\nlimit_mb_s = {PACE_MB_S}\n'
        )
        self.root = self.state_dir / ".local" / os.uname().nodename

    def restart(self) -> None:
        """Nothing: a resume starts it."""


class Emulator(Daemons):
    """`emulator`: a vendor's daemon, which goes on by itself when it is started again."""

    backend = "emulator"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.root = top / "emulator"
        (top / "site.toml").write_text(f'[backend.emulator]\nroot = "{self.root}"\n')
        self.restart()
        self.fault(limit_mb_s=PACE_MB_S)

    def fault(self, **faults: Any) -> None:
        """Put exactly `faults` in force."""
        control(self.root, "faults", faults)

    def restart(self) -> None:
        """As the machine's own service manager does."""
        if pid_of(self.root) is None:
            daemon.spawn("poststage.emulator", [f"--root={self.root}"])


class Axl(Life):
    """AXL's own: a state file and what stands at the names, as AXL leaves them."""

    backend = "axl"
    vendor: dict[str, int] = {"kind": 7}  # noqa: RUF012 - never changed

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        (top / "site.toml").write_text("")
        self.state_file = self.state_dir / "d" / "axl.state_file"
        self.state_file.parent.mkdir()
        self.temp = self.pfs / "f._AXL"

    def lay(self, size: int | None, *, meta: bool = True, state: int = 2, status: int = 2) -> None:
        """The state file, and `size` bytes under the temp name (None: nothing)."""
        recorded = metadata(SIZE) if meta else {}
        tree = transfer(
            {os.fsencode(self.source): file(os.fsencode(self.temp), **recorded)},
            state=state,
            status=status,
            **self.vendor,
        )
        self.state_file.write_bytes(pack(tree))
        if size is not None:
            self.temp.write_bytes(b"\0" * size)


class Ibm(Axl):
    """AXL's on IBM's burst buffer, where no probe of it is allowed."""

    vendor = {"kind": 5, "BB_TransferHandle": 77}  # noqa: RUF012 - never changed


_GOES_ON = {TransferState.INPROGRESS.value, TransferState.FULLSUCCESS.value}
Scene = Callable[[Any], None]
Point = tuple[str, dict[type[Life], Scene]]


def daemons(scene: Callable[[Any], None]) -> dict[type[Life], Scene]:
    """The same scene on both daemons."""
    return {Local: scene, Emulator: scene}


def axls(scene: Callable[[Any], None]) -> dict[type[Life], Scene]:
    """The same scene on both of AXL's."""
    return {Axl: scene, Ibm: scene}


def _recording(life: Daemons) -> None:
    _killed(life, "")


def _recorded(life: Daemons) -> None:
    _killed(life, "found.record()")


def _killed(life: Daemons, last: str) -> None:
    """An agent of another process hands over up to `last`, and is killed there."""
    words = [life.state_dir, life.top / "site.toml", life.source, life.destination]
    program = AGENT + last + "\nos.kill(os.getpid(), 9)\n"
    subprocess.run([sys.executable, "-c", program, *words], check=False)


AGENT = """
import os, sys
import poststage
state_dir, site, source, destination = sys.argv[1:]
found = poststage.open_agent(state_dir, site=site).transfer("d")
found.add(source, destination)
"""


def _locked(life: Life) -> None:
    if isinstance(life, Daemons):
        life.begun()
    else:
        assert isinstance(life, Axl)
        life.lay(SIZE)
    life.settle_s = 0.3
    life.lock_fd = os.open(life.state_file, os.O_RDONLY)
    fcntl.flock(life.lock_fd, fcntl.LOCK_EX)


def _running(life: Daemons) -> None:
    life.begun()


def _unproven(life: Daemons) -> None:
    _marked(life, SIZE // 2)


def _proven(life: Daemons) -> None:
    """A file of which a first part is durable: the daemons prove every 64 MB."""
    life.source.write_bytes(b"\1" * LARGE)
    _marked(life, LARGE - SIZE)


def _marked(life: Daemons, least: int) -> None:
    """Killed when `least` bytes are copied; what was copied is not the source's any more."""
    life.begun()
    life.copied(least)
    life.kill()
    with open(life.temp, "r+b") as temp:
        temp.write(MARK)
    life.marked = True
    life.restart()


def _before_the_first_byte(life: Daemons) -> None:
    life.begun()
    life.kill()
    life.restart()


def _changed(life: Daemons) -> None:
    _halted(life)
    with open(life.source, "ab") as source:
        source.write(b"more")
    _restarted(life)


def _gone(life: Daemons) -> None:
    _halted(life)
    life.source.unlink()
    _restarted(life)


def _temp_gone(life: Daemons) -> None:
    _halted(life)
    life.temp.unlink()
    _restarted(life)


def _temp_replaced(life: Daemons) -> None:
    _halted(life)
    other = life.temp.with_name("other")  # there before the old one goes: with an inode of its own
    other.write_bytes(b"x" * SIZE)
    other.rename(life.temp)
    _restarted(life)


def _halted(life: Daemons) -> None:
    life.begun()
    life.copied(SIZE // 2)
    life.kill()


def _restarted(life: Daemons) -> None:
    life.restart()
    if isinstance(life, Emulator):
        with life.earlier() as earlier:
            earlier.wait(0.5)


def _arrived(life: Daemons) -> None:
    if isinstance(life, Emulator):
        life.fault()
    life.begun()
    with life.earlier() as earlier:
        assert earlier.wait(60) is TransferState.FULLSUCCESS
    life.had_arrived = True


def _failed(life: Daemons) -> None:
    life.begun()
    life.source.write_bytes(b"another")
    life.copied(0)
    with life.earlier() as earlier:
        assert earlier.wait(60).ended


def _cancelled(life: Daemons) -> None:
    life.begun()
    life.copied(1)
    with life.earlier() as earlier:
        assert earlier.cancel().ended


def _away(life: Daemons) -> None:
    life.begun()
    life.kill()
    life.settle_s = 0.3
    if isinstance(life, Local):  # another host's copier: nobody here can tell
        other = life.root.with_name("elsewhere")
        os.rename(life.root, other)


def _over(life: Daemons) -> None:
    _arrived(life)
    life.finalized()
    life.state_file = life.state_file.with_suffix(".done")


def _damaged(life: Life) -> None:
    if isinstance(life, Daemons):
        _arrived(life)
        raw = life.state_file.read_bytes()
        life.state_file.write_bytes(raw[:30] + b"!" + raw[31:])
    else:
        assert isinstance(life, Axl)
        life.lay(SIZE)
        life.state_file.write_bytes(life.state_file.read_bytes()[:-9])


def _axl_over(life: Axl) -> None:
    life.lay(SIZE, state=4, status=3)
    life.finalized()
    life.state_file = life.state_file.with_name(life.state_file.name + ".axl.done")


POINTS: list[Point] = [
    ("its agent is still at it", {**daemons(_locked), **axls(_locked)}),
    (
        "agent killed while it recorded",
        {**daemons(_recording), **axls(lambda life: life.lay(None, meta=False, state=1, status=1))},
    ),
    (
        "agent killed when all was recorded, before the start",
        {**daemons(_recorded), **axls(lambda life: life.lay(None, status=1))},
    ),
    ("it runs", {**daemons(_running), **axls(lambda life: life.lay(SIZE // 2))}),
    (
        "copier killed before the first byte",
        {**daemons(_before_the_first_byte), **axls(lambda life: life.lay(0))},
    ),
    (
        "copier killed inside the file, nothing proven",
        {**daemons(_unproven), **axls(lambda life: life.lay(SIZE // 2, status=1))},
    ),
    (
        "copier killed inside the file, a part proven",
        {**daemons(_proven), **axls(lambda life: life.lay(SIZE - 1, status=1))},
    ),
    (
        "… and the source has changed since",
        {**daemons(_changed), **axls(lambda life: life.lay(SIZE // 2))},
    ),
    ("… and the source is gone", {**daemons(_gone), **axls(lambda life: life.lay(SIZE // 2))}),
    ("… and the temp file is gone", {**daemons(_temp_gone), **axls(lambda life: life.lay(None))}),
    (
        "… and the temp name is another file's",
        {**daemons(_temp_replaced), **axls(lambda life: life.lay(SIZE + 1))},
    ),
    ("all has arrived", {**daemons(_arrived), **axls(lambda life: life.lay(SIZE, status=3))}),
    (
        "it has failed",
        {**daemons(_failed), **axls(lambda life: life.lay(100, state=4, status=4))},
    ),
    (
        "it was cancelled",
        {**daemons(_cancelled), **axls(lambda life: life.lay(SIZE // 2, state=5))},
    ),
    ("its backend is away", {**daemons(_away), **axls(lambda life: life.lay(SIZE))}),
    ("finalize is done with it", {**daemons(_over), **axls(_axl_over)}),
    ("its state file is damaged", {**daemons(_damaged), **axls(_damaged)}),
]
BACKENDS: dict[type[Life], str] = {
    Local: "`local`",
    Emulator: "`emulator`",
    Axl: "AXL, sync or pthread",
    Ibm: "AXL, IBM's without a probe",
}


def outcome(backend: type[Life], scene: Scene) -> str:
    """What comes of one life: the resume's answer, how far it went, and finalize's end."""
    with made(backend) as life:
        scene(life)
        resumed = life.resumed()
        if resumed in _GOES_ON and not life.had_arrived:
            resumed = _how_far(life)
        return f"{resumed}; then {life.finalized()}"


def _how_far(life: Life) -> str:
    """Where a resumed copy begins: what was proven and copied again has lost its mark."""
    with life.earlier() as earlier:
        assert earlier.wait(60).ended
    if not life.marked:
        return "goes on"
    kept = life.temp.read_bytes()[:4] == MARK
    return "goes on inside the file" if kept else "goes on from the file's beginning"


@contextmanager
def made(backend: type[Life]) -> Iterator[Life]:
    """A life in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="life") as top:
        life = backend(Path(top))
        try:
            yield life
        finally:
            life.close()


def table() -> dict[tuple[str, str], str]:
    """(point, backend's title) → outcome, for all of them."""
    return {
        (point, BACKENDS[backend]): outcome(backend, scene)
        for point, scenes in POINTS
        for backend, scene in scenes.items()
    }


def page(cells: dict[tuple[str, str], str]) -> Iterator[str]:
    """The page, line by line."""
    titles = list(BACKENDS.values())
    yield from INTRODUCTION.splitlines()
    yield "| | " + " | ".join(titles) + " |"
    yield "|---|" + "---|" * len(titles)
    for point, _ in POINTS:
        yield f"| {point} | " + " | ".join(cells[point, title] for title in titles) + " |"


INTRODUCTION = """\
# Resume

What `Earlier.resume()` (`poststage resume` for all transfers of a STATEDIR) makes of a transfer at
every point of its life, and how `finalize` ends it then. Each cell is what happens on real daemons
with a file of 20 MB (90 MB where a part is proven): that it goes on, the backend's answer, or the
reason of the refusal; then the finalizer's verdict and exit status.
`python -m tests.agent.lives > docs/resume.md` writes this page, and `tests/agent/test_lives.py`
holds it against what happens.

A transfer goes on inside a file only from what was recorded as durable in that very temp file (its
inode number counts). Where nothing was proven, or the temp file is another, it is copied from its
beginning; another user's file under the temp name is left untouched, and the transfer's file fails.
A source that is not the recorded one (size, mtime) is never copied from. That the copier may be
killed at each of its file calls is tests/copier/test_killed_anywhere.py's.
"""


if __name__ == "__main__":
    started = time.monotonic()
    print("\n".join(page(table())))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
