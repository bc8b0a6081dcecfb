"""The driver's side of the fork server: one preloaded process, one forked child a job."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from tests.crash.shim import Shim

SERVER = Path(__file__).with_name("server.py")
REPOSITORY = Path(__file__).parents[2]


class Who(Struct, frozen=True):
    """The credentials of a run; `uid` None keeps the driver's own."""

    uid: int | None = None
    gid: int = 0
    groups: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "self" if self.uid is None else f"uid {self.uid}"


SELF = Who()


class Job(Struct, frozen=True):
    """One run: `module:function`, called with JSON-able `arguments`."""

    target: str
    arguments: tuple[object, ...] = ()
    who: Who = SELF
    deadline_s: float = 30.0
    umask: int = 0o022


class Stopped(Struct, frozen=True):
    """The run has stopped itself (SIGSTOP)."""

    pid: int


class Outcome(Struct, frozen=True):
    """How a run ended."""

    status: int | None
    """Exit status; minus the signal that killed it; None if the deadline did."""
    output: str
    """What it printed, stdout and stderr together."""


class ForkServer:
    """A process that has imported `modules` under the shim. A context manager."""

    def __init__(
        self, shim: Shim, directory: Path, modules: Sequence[str], paths: Sequence[Path] = ()
    ) -> None:
        self.shim = shim
        self._output = directory / "output"
        inherited = filter(None, [os.environ.get("PYTHONPATH")])
        search = os.pathsep.join(map(str, [*paths, REPOSITORY, *inherited]))
        environment = {**shim.environment(), "PYTHONPATH": search}
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        if "ready" not in self._answer():
            raise RuntimeError("the fork server did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server; a run that is under way ends with it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The server's process; a run is its child."""
        return self._process.pid

    @property
    def events_fd(self) -> int:
        """Becomes readable when a started run stops or ends."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def run(self, job: Job) -> Outcome:
        """Run `job` in a forked child, to its end; it must not stop on the way."""
        self.start(job)
        event = self.event()
        if isinstance(event, Stopped):
            raise RuntimeError(f"{job.target} has stopped itself and nobody continues it")
        return event

    def warm(self, job: Job) -> None:
        """Run `job` in the server itself, outside of any injection, so that its runs are fast."""
        self.shim.stand_down()
        self.start(job, warm=True)
        self._answer()

    def start(self, job: Job, *, warm: bool = False) -> None:
        """Begin a run; `event` takes what becomes of it."""
        line = {
            "target": job.target,
            "arguments": job.arguments,
            "uid": job.who.uid,
            "gid": job.who.gid,
            "groups": job.who.groups,
            "deadline_s": job.deadline_s,
            "umask": job.umask,
            "output": str(self._output),
            "warm": warm,
        }
        self._say(json.dumps(line))

    def event(self) -> Outcome | Stopped:
        """Wait until the run ends or stops itself (`go_on` then)."""
        answer = self._answer()
        if "stopped" in answer:
            return Stopped(int(answer["stopped"]))
        with open(self._output, errors="backslashreplace") as file:
            return Outcome(status=answer["ended"], output=file.read())

    def go_on(self) -> None:
        """Continue a stopped run."""
        self._say("")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server has died, status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def owner() -> Who:
    """A plain user for runs `as the owner`: somebody without a name when we are root, else us."""
    return Who(uid=61234, gid=61234) if os.geteuid() == 0 else SELF
