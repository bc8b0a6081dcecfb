"""Commands as real processes, and STATEDIRs to run them on."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.vectors.words import HANDLE, HEAD, STARTED, Json, entry, lines, recorded, verdict

_MAIN = "import sys; sys.argv[0] = '{0}'; from poststage.cli.main import {1}; {1}()"
ENTRY = {"poststage": "main", "finalize": "finalize_main"}


class Ended:
    """How a command ended: status, what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        """The one document on stdout, which is ASCII."""
        assert self.out.isascii()
        return json.loads(self.out)


def argv(*args: object, program: str = "poststage") -> list[str]:
    """The command line of `program`, whether it is installed or not."""
    code = _MAIN.format(program, ENTRY[program])
    return [sys.executable, "-c", code, *map(os.fspath, map(str, args))]


def environment(env: dict[str, str]) -> dict[str, str]:
    """The tests' own environment with a plain terminal and `env`."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    nobodys = {"POSTSTAGE_EMULATOR_ROOT": "/nonexistent"}  # never the one that a user has running
    plain = {"TERM": "xterm-256color", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    return {**nobodys, **own, **plain, **env}


def run(*args: object, program: str = "poststage", **env: str) -> Ended:
    """Run a command off a terminal; env by keyword."""
    ended = subprocess.run(
        argv(*args, program=program), capture_output=True, env=environment(env), check=False
    )
    return Ended(
        ended.returncode,
        *(raw.decode("utf-8", "backslashreplace") for raw in (ended.stdout, ended.stderr)),
    )


def on_terminal(*args: object, **env: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; status, and all that it wrote there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv(*args), stdin=theirs, stdout=theirs, stderr=theirs, env=environment(env)
    )
    os.close(theirs)
    written = b""
    while piece := _read(ours):
        written += piece
    os.close(ours)
    return process.wait(), written.decode().replace("\r\n", "\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: the other side is closed
        return b""


def put(path: Path, *records: Json) -> Path:
    """A state file of `records`; its directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines(*records))
    return path


def head(dataset: str, part: int = 0, parts: int = 1) -> Json:
    """The head of one part."""
    return HEAD | {"id": f"{part:016x}", "dataset": dataset, "part": part, "parts": parts}


def done(state_dir: Path, dataset: str, part: int = 0, parts: int = 1) -> Path:
    """A part that is set aside: two files published."""
    records = [head(dataset, part, parts), entry(), entry(name=b"data.1"), recorded(2), HANDLE]
    path = state_dir / dataset / f"{part}.done"
    return put(path, *records, STARTED, verdict(0, "published", count=2))


def running(state_dir: Path, dataset: str, part: int = 0, parts: int = 1) -> Path:
    """A part of which the transfer was started and nothing has a verdict."""
    records = [head(dataset, part, parts), entry(), recorded(1), HANDLE, STARTED]
    return put(state_dir / dataset / f"{part}.state", *records)


def failed(state_dir: Path, dataset: str, part: int = 0, parts: int = 1) -> Path:
    """A part of which one file is published and one has failed; nothing is open."""
    records = [head(dataset, part, parts), entry(), entry(name=b"data.1"), recorded(2), HANDLE]
    ends = [verdict(0, "published"), verdict(1, "failed", reason="no space left on device")]
    return put(state_dir / dataset / f"{part}.state", *records, STARTED, *ends)


def tree(top: Path) -> dict[str, bytes]:
    """Every file below `top` and its contents; directories end in a slash."""
    found: dict[str, bytes] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        found[name + "/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found
