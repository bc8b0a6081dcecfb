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
from tests.backends.sites import control, end_daemon, proven, until

SIZE = 20_000_000
PART = 2_000_000  # is copied when a copier is killed inside the file
SLOW_MB_S = 4.0  # leaves 5 s to act while it is copied


def content(size: int) -> bytes:
    """So many bytes, of which no two blocks are the same."""
    return b"".join(b"%15d\n" % number for number in range(size // 16 + 1))[:size]


class Life:
    """One transfer of one file, its backend, and the places that it needs."""

    backend = ""
    content = content(SIZE)

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
        self.had_arrived = self.was_killed = False

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

    def set_up(self, *, pace_mb_s: float = SLOW_MB_S, prove_mb: int = 1) -> None:
        """How fast what is handed over from now on is copied, and how often it is proven."""
        raise NotImplementedError

    def begun(self) -> None:
        """Handed over; its temp file is known."""
        self.dispatch(self.recording())

    def dispatch(self, found: Transfer) -> None:
        """Hand over what `found` holds."""
        found.dispatch()
        self.temp = self.pfs / f".f.{found.head.id}-0.poststage"

    def copied(self, least: int) -> None:
        """Return when at least `least` bytes are copied."""
        with self.earlier() as earlier:
            until(lambda: (earlier.answer().bytes_done or 0) >= least)

    def ended(self) -> None:
        """Return when the transfer has ended."""
        with self.earlier() as earlier:
            assert earlier.wait(60).ended

    def kill(self) -> None:
        """End the copier."""
        self.was_killed = end_daemon(self.root)

    def restart(self) -> None:
        """Start it again, if nobody else does, to copy as fast as it can."""
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
        self.root = self.state_dir / ".local" / os.uname().nodename
        self.set_up()

    def set_up(self, *, pace_mb_s: float = SLOW_MB_S, prove_mb: int = 1) -> None:
        words = f"limit_mb_s = {pace_mb_s}\nprogress_mb = {prove_mb}\n"
        (self.top / "site.toml").write_text(f'[site]\nbackend = "local"\n[backend.local]\n{words}')

    def restart(self) -> None:
        """A resume starts it."""
        self.set_up(pace_mb_s=0.0)


class Emulator(Daemons):
    """`emulator`: a vendor's daemon, which goes on by itself when it is started again."""

    backend = "emulator"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.root = top / "emulator"
        (top / "site.toml").write_text(f'[backend.emulator]\nroot = "{self.root}"\n')
        self.set_up()

    def set_up(self, *, pace_mb_s: float = SLOW_MB_S, prove_mb: int = 1) -> None:
        end_daemon(self.root)
        arguments = [f"--root={self.root}", f"--prove-bytes={prove_mb * 10**6}"]
        daemon.spawn("poststage.emulator", arguments)
        self.fault(limit_mb_s=pace_mb_s)

    def fault(self, **faults: Any) -> None:
        """Put exactly `faults` in force."""
        control(self.root, "faults", faults)

    def restart(self) -> None:
        """As the machine's own service manager does."""
        self.set_up(pace_mb_s=0.0)


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
            self.temp.write_bytes(content(size))


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
    life.set_up(pace_mb_s=10.0)
    life.begun()


def _unproven(life: Daemons) -> None:
    life.set_up(prove_mb=64)
    _halted(life)
    life.restart()


def _proven(life: Daemons) -> None:
    _halted(life)
    life.restart()


def _damaged_part(life: Daemons) -> None:
    _halted(life)
    with open(life.temp, "r+b") as temp:
        temp.write(b"other")
    life.restart()


def _before_the_first_byte(life: Daemons) -> None:
    life.set_up(pace_mb_s=1e-6)  # a byte a second
    life.begun()
    life.kill()
    life.restart()


def _changed(life: Daemons) -> None:
    _halted(life)
    with open(life.source, "ab") as source:
        source.write(b"more")
    _restarted_in_vain(life)


def _gone(life: Daemons) -> None:
    _halted(life)
    life.source.unlink()
    _restarted_in_vain(life)


def _temp_gone(life: Daemons) -> None:
    _halted(life)
    life.temp.unlink()
    life.restart()


def _temp_replaced(life: Daemons) -> None:
    _halted(life)
    life.temp.unlink()  # its inode number may be given to the next file at once
    life.temp.write_bytes(b"x" * SIZE)
    life.restart()


def _halted(life: Daemons) -> None:
    """Killed inside the file; what is proven of it is durable."""
    life.begun()
    life.copied(PART)
    life.kill()


def _restarted_in_vain(life: Daemons) -> None:
    life.restart()
    if isinstance(life, Emulator):
        life.ended()


def _arrived(life: Daemons) -> None:
    life.set_up(pace_mb_s=0.0)
    life.begun()
    life.ended()
    life.had_arrived = True


def _failed(life: Daemons) -> None:
    found = life.recording()
    found.record()
    life.source.write_bytes(b"another")
    life.dispatch(found)
    life.ended()


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
    (
        "… and that part was damaged",
        {**daemons(_damaged_part), **axls(lambda life: life.lay(SIZE - 1, status=1))},
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
        if resumed in _GOES_ON and isinstance(life, Daemons) and not life.had_arrived:
            resumed = _how_far(life)
        finalized = life.finalized()
        if finalized.startswith("published"):
            assert life.destination.read_bytes() == life.content
        return f"{resumed}; then {finalized}"


def _how_far(life: Daemons) -> str:
    """Where a resumed copy begins, as the copier's log tells."""
    life.ended()
    if not life.was_killed:
        return "goes on"
    return "goes on " + ("inside the file" if proven(life.root) else "from the file's beginning")


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
with a file of 20 MB: that it goes on, the backend's answer, or the
reason of the refusal; then the finalizer's verdict and exit status.
`python -m tests.agent.lives > docs/resume.md` writes this page, and `tests/agent/test_lives.py`
holds it against what happens.

A transfer goes on inside a file only as far as was recorded as durable and as the temp file, read
back from the disk, holds what its source does, byte for byte: what was damaged, and another file
under the temp name, whatever its size and inode number, is copied over. That costs reading the part
twice, and the copying itself nothing. Where nothing was recorded, the file is copied from its
beginning; another user's file under the temp name is left untouched, and the transfer's file fails.
A source that is not the recorded one (size, mtime) is never copied from. That the copier may be
killed at each of its file calls is tests/copier/test_killed_anywhere.py's.
"""


if __name__ == "__main__":
    started = time.monotonic()
    print("\n".join(page(table())))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
