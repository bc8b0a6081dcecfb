"""A finalizer in the background, for schedulers that poll: started once, asked often.

Everything that its askers know stands in STATEDIR: the lock while it runs, and how the last one
ended. So it does not matter who asks, nor whether the one who started it is still there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from poststage.cli.standing import code_of, standing
from poststage.cli.survey import Part, groups, open_state_dir, read_group
from poststage.durable import atomic, fsops, lock
from poststage.errors import ExitCode, RunAgainError, worst
from poststage.finalize.scan import Group
from poststage.statefile.layout import LOCK_NAME

RESULT = b".finalize.result"
LOG = b".finalize.log"
_MINE = b".finalize.background.lock"
_RESULT_MAX = 4096


class Result(Struct, frozen=True):
    """How the last finalizer in the background ended."""

    exit_code: int
    reason: str


class Stands(Struct, frozen=True):
    """How a STATEDIR stands for somebody who polls."""

    code: ExitCode
    """RUN_AGAIN while something is open and nobody has said that a person is needed."""
    reason: str
    running: bool
    """Whether a finalizer has it now."""


def stands(state_dir: Path) -> Stands:
    """How `state_dir` stands, by what is on the disk alone; asks no backend.

    Raises:
        PoststageError: it cannot be opened.
    """
    running = is_running(state_dir)
    with open_state_dir(state_dir) as fd:
        found = [(group, _parts(fd, group, refused)) for group, refused in groups(state_dir)]
        told = _result(fd)
        newest = max((_changed(fd, group) for group, _ in found), default=0)
    code = worst({code_of(standing(group.directory, parts, {})) for group, parts in found})
    if code is not ExitCode.RUN_AGAIN:
        return Stands(code, told[0].reason if told else "", running)
    if running or told is None or told[1] < newest or not told[0].exit_code:
        words = "a finalizer is at it" if running else "something is open, and nobody is at it"
        return Stands(code, words, running)
    return Stands(_code(told[0].exit_code), told[0].reason, running)


def is_running(state_dir: Path) -> bool:
    """Whether a finalizer works on `state_dir`, or one in the background waits to."""
    return any(_is_held(state_dir / os.fsdecode(name)) for name in (LOCK_NAME, _MINE))


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with lock.held(path, timeout_s=0, what=str(path)):
            return False
    except RunAgainError:
        return True


@contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """Be the one finalizer in the background of `state_dir` while the block runs.

    Raises:
        RunAgainError: another one is.
    """
    with lock.held(state_dir / os.fsdecode(_MINE), timeout_s=0, what=str(state_dir)):
        yield


def start(state_dir: Path, arguments: Sequence[str]) -> None:
    """Start `finalize` with `arguments` in the background; its output goes to a log in STATEDIR.

    Raises:
        OSError: the log cannot be opened, or no process be made.
    """
    fd = fsops.open_dir(os.fsencode(state_dir))
    try:
        log = fsops.open_append(fd, LOG, mode=0o600)
    finally:
        os.close(fd)
    try:
        spawn(arguments, log)
    finally:
        os.close(log)


def spawn(arguments: Sequence[str], log: int | None = None) -> None:
    """Start `finalize` with `arguments`; it is in a session of its own when this returns.

    So whoever kills the process group of its starter does not reach it. Raises OSError.
    """
    subprocess.Popen(
        [sys.executable, "-m", "poststage", "finalize", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd="/",
    )


def keep_result(state_dir: Path, code: int, reason: str) -> None:
    """Keep how this finalizer ended, for those who ask. Raises OSError."""
    fd = fsops.open_dir(os.fsencode(state_dir))
    try:
        atomic.replace_file(fd, RESULT, msgspec.json.encode(Result(code, reason)), mode=0o600)
    finally:
        os.close(fd)


def _parts(fd: int, group: Group, refused: str) -> list[Part]:
    return [Part(b"", damage=refused)] if refused else read_group(fd, group)


def _result(fd: int) -> tuple[Result, int] | None:
    """The kept result and when it was written (ns); None if there is none that makes sense."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        result = os.open(RESULT, flags, dir_fd=fd)
    except OSError:
        return None
    try:
        info = os.fstat(result)
        return msgspec.json.decode(os.pread(result, _RESULT_MAX, 0), type=Result), info.st_mtime_ns
    except (OSError, msgspec.DecodeError):
        return None
    finally:
        os.close(result)


def _changed(fd: int, group: Group) -> int:
    """When one of its open state files was last changed (ns)."""
    paths = [os.path.join(group.directory, name) for name in group.pending]
    infos = [fsops.facts(fd, path) for path in paths]
    return max((info.st_mtime_ns for info in infos if info is not None), default=0)


def _code(number: int) -> ExitCode:
    return ExitCode(number) if number in ExitCode._value2member_map_ else ExitCode.BUG
