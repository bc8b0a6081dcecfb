"""Transfers to be brought into any state, on real daemons and as AXL leaves them."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poststage import config
from poststage.agent import Agent, Transfer, open_agent
from poststage.agent.reopened import Earlier, open_earlier
from poststage.copier import daemon
from poststage.errors import PoststageError
from poststage.finalize import finalize_dir, options_of
from tests.axl.lay import file, metadata, pack, transfer
from tests.backends.sites import control, end_daemon, until

SIZE = 20_000_000
PART = 2_000_000  # is copied when a copier is killed inside the file
SLOW_MB_S = 4.0  # leaves 5 s to act while it is copied


def content(size: int) -> bytes:
    """So many bytes, of which no two blocks are the same."""
    return b"".join(b"%15d\n" % number for number in range(size // 16 + 1))[:size]


AGENT = """
import os, sys
import poststage
state_dir, site, source, destination = sys.argv[1:]
found = poststage.open_agent(state_dir, site=site).transfer("d")
found.add(source, destination)
"""


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
        self.settle_s = 60.0
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

    def lay(
        self,
        size: int | None,
        *,
        meta: bool = True,
        state: int = 2,
        status: int = 2,
        others: tuple[str, ...] = (),
    ) -> None:
        """The state file, and `size` bytes under the temp name (None: nothing).

        Of `others`, files of the same transfer, nothing has arrived.
        """
        recorded = metadata(SIZE) if meta else {}
        temps = [self.temp, *(self.pfs / f"{name}._AXL" for name in others)]
        files = {
            os.fsencode(self.bb / temp.stem): file(os.fsencode(temp), **recorded) for temp in temps
        }
        tree = transfer(files, state=state, status=status, **self.vendor)
        self.state_file.write_bytes(pack(tree))
        if size is not None:
            self.temp.write_bytes(content(size))


class Ibm(Axl):
    """AXL's on IBM's burst buffer, where no probe of it is allowed."""

    vendor = {"kind": 5, "BB_TransferHandle": 77}  # noqa: RUF012 - never changed


@contextmanager
def made(backend: type[Life]) -> Iterator[Life]:
    """A life in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="life") as top:
        life = backend(Path(top))
        try:
            yield life
        finally:
            life.close()
