"""One job end to end with real parts: agent, emulator, the `finalize` command."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from poststage import Agent, Transfer, open_agent
from poststage.agent import poll
from poststage.copier import client, daemon
from poststage.copier import protocol as p
from poststage.errors import ExitCode

BIN = Path(sys.executable).parent
DEADLINE_S = 30.0
ATIME_NS, MTIME_NS = 1_234_567_890_123_456_789, 1_600_000_000_000_000_001


class Emulator:
    """The daemon of `root`, as a command starts it."""

    def __init__(self, root: Path, *words: str) -> None:
        self.root = root
        self._words = words
        self.pid = 0

    def start(self) -> Self:
        """Start it, or start it again."""
        self.pid = daemon.spawn("poststage.emulator", ["--root", str(self.root), *self._words])
        return self

    def stop(self) -> None:
        """Stop it; no daemon is no error."""
        run(["poststage", "emulator", "stop", "--root", str(self.root)])

    def faults(self, **faults: object) -> None:
        """Let exactly these go wrong from now on."""
        with client.session(self.root, DEADLINE_S) as session:
            session.ask(p.Control("faults", faults))

    def detach(self) -> None:
        """The job ends: the burst buffer is out of everybody else's reach."""
        with client.session(self.root, DEADLINE_S) as session:
            session.ask(p.Control("detach", None))


class Done(Struct, frozen=True):
    """What a command said."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """What a person saw."""
        return self.err.decode()

    @property
    def report(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


def run(words: list[str], env: Mapping[str, str] = os.environ, **options: Any) -> Done:
    """A command of this installation, to its end."""
    done = subprocess.run(
        [BIN / words[0], *words[1:]],
        env=dict(env),
        capture_output=True,
        timeout=DEADLINE_S * 2,
        check=False,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Story:
    """Directories of one job below `top`; the emulator may be shared with others."""

    def __init__(self, top: Path, emulator: Emulator, *, timeout_s: float = 5.0) -> None:
        self.top, self.emulator = top, emulator
        self.bb, self.dst, self.state = top / "bb", top / "dst", top / "state"
        for path in (self.bb, self.dst):
            path.mkdir(exist_ok=True)
        self.wrote: dict[Path, tuple[tuple[object, ...], bytes]] = {}
        self.site = top / "site.toml"
        self.site.write_text(
            f'[backend.emulator]\nroot = "{emulator.root}"\ntimeout_s = {timeout_s}\n'
        )

    @property
    def env(self) -> dict[str, str]:
        """For commands."""
        return {**os.environ, "POSTSTAGE_SITE": str(self.site)}

    def source(
        self,
        name: str | bytes = "f",
        content: bytes = b"the job's output\n",
        *,
        mode: int = 0o640,
        times: tuple[int, int] = (ATIME_NS, MTIME_NS),
    ) -> Path:
        """A file that the job has written."""
        path = self.bb / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, ns=times)
        self.wrote[path] = facts(path), content
        return path

    @contextmanager
    def transfer(self, dataset: str = "d", part: int = 0, parts: int = 1) -> Iterator[Transfer]:
        """A transfer of one rank; dispatched at the end of the block."""
        with self.agent() as agent, agent.transfer(dataset, part, parts) as transfer:
            yield transfer

    def agent(self) -> Agent:
        """An agent of this job."""
        return open_agent(self.state, site=self.site)

    def hand_over(
        self,
        *sources: Path,
        dataset: str = "d",
        part: int = 0,
        parts: int = 1,
        checksum: bool = False,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Each of `sources` to the same place below dst, and wait until it has arrived.

        `meanwhile` happens between the recording and the start.
        """
        with self.agent() as agent:
            transfer = agent.transfer(dataset, part, parts)
            for source in sources:
                transfer.add(source, self.to(source), checksum=checksum)
            meanwhile()
            transfer.dispatch()
            assert transfer.wait(DEADLINE_S).ended

    def start(self, *sources: Path, dataset: str = "d", part: int = 0, parts: int = 1) -> None:
        """As `hand_over`, without the waiting."""
        with self.transfer(dataset, part, parts) as transfer:
            for source in sources:
                transfer.add(source, self.to(source))

    def to(self, source: Path) -> Path:
        """Where `source` goes."""
        return self.dst / source.relative_to(self.bb)

    def exact(self, source: Path, destination: Path | None = None) -> bool:
        """Whether the destination is exactly what `source` was when it was written."""
        path = destination or self.to(source)
        was, written = self.wrote[source]
        return facts(path) == was and content(path) == written

    def finalize(self, *words: str, code: ExitCode | None = ExitCode.OK) -> Done:
        """The command; it has to end with `code`, if one is given."""
        done = run(["finalize", "--dir", str(self.state), *words], self.env)
        assert code is None or done.code == code, (done.code, done.text, done.out)
        assert b"Traceback" not in done.err
        return done

    def report(self, *words: str, code: ExitCode | None = ExitCode.OK) -> Any:
        """What `finalize --json` says."""
        return self.finalize("--json", *words, code=code).report

    def temps(self) -> list[Path]:
        """Temp files that are left anywhere below dst."""
        return [path for path in self.dst.rglob(".*.poststage") if os.path.lexists(path)]


def facts(path: Path) -> tuple[object, ...]:
    """Everything that is to be the same at the destination."""
    info = path.lstat()
    mode = stat.S_IMODE(info.st_mode)
    ids = (info.st_uid, info.st_gid, mode, info.st_size)
    return (*ids, info.st_atime_ns, info.st_mtime_ns)


def content(path: Path) -> bytes:
    """What stands in it, also where its owner may not read."""
    mode = path.lstat().st_mode
    path.chmod(0o600)
    try:
        return path.read_bytes()
    finally:
        path.chmod(stat.S_IMODE(mode))


def verdicts(report: Any) -> dict[str, int]:
    """Verdict → number, over all datasets of a report."""
    found: dict[str, int] = {}
    for dataset in report["datasets"]:
        for word, number in dataset["files"].items():
            found[word] = found.get(word, 0) + number
    return found


def problems(report: Any) -> list[Any]:
    """All problems of a report."""
    return [problem for dataset in report["datasets"] for problem in dataset["problems"]]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for the event itself."""
    assert poll.until(condition, bool, DEADLINE_S), f"{what} did not come"
