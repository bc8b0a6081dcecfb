"""The preloaded shim seen from Python: building it, its control page, its log.

The structures mirror shim.c field by field.
"""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Self

from msgspec import Struct

SOURCE = Path(__file__).with_name("shim.c")
LOG_BYTES = 64 << 20  # sparse; a run that writes more gives `LogCutError`


class Kind(IntFlag):
    """What a call does; several are a mask."""

    READ = 1
    OPEN = 2
    CHANGE = 4
    SYNC = 8
    LOCK = 16
    CLOSE = 32
    ANY = 63


class Action(IntEnum):
    """What happens at the call that is due."""

    NOTHING = 0
    KILL = 1
    KILL_TORN = 2
    """A write writes half of its bytes and the process dies."""
    REFUSE = 3
    DELAY = 4
    STOP = 5
    ASK = 6
    """The call and its names go to HOOK.ask; the process waits for a byte from HOOK.go."""
    SHORT = 7
    """A write writes half of its bytes and says so."""


EVERY = -1  # for `at`


class Injection(Struct, frozen=True):
    """One thing that is to happen, at counted call `at` (from 1; EVERY; 0 for never)."""

    action: Action = Action.NOTHING
    at: int = 0
    after: bool = False
    error: int = 0
    sticky: bool = False
    limit: int = 0
    """Sticky: at so many calls and no more; 0 for ever."""
    mask: Kind = Kind.ANY
    delay_ns: int = 0

    def __str__(self) -> str:
        place = f"{'after' if self.after else 'before'} call {self.at}"
        if self.action is not Action.REFUSE:
            return f"{self.action.name.lower()} {place} of {self.mask!r}"
        name = errno.errorcode[self.error]
        times = f", {self.limit} times," if self.limit else ""
        return f"{name} {'from' if self.sticky else 'at'} call {self.at}{times} of {self.mask!r}"


NONE = Injection()


class Call(Struct, frozen=True):
    """One logged call. `number` holds the arguments that a replay needs (see shim_calls.h)."""

    name: str
    kind: Kind
    sequence: int
    path: bytes
    other: bytes
    result: int
    error: int
    number: tuple[int, int, int, int]
    ino: int
    ino_after: int
    data: bytes
    pid: int
    by_name: bool
    """It names its object, and not by a descriptor: ENOENT and EEXIST are possible answers."""


class _Control(ctypes.Structure):
    _fields_ = (
        ("root", ctypes.c_char * 1024),
        ("hook", ctypes.c_char * 1024),
        ("at", ctypes.c_int64),
        ("action", ctypes.c_uint32),
        ("after", ctypes.c_uint32),
        ("sticky", ctypes.c_uint32),
        ("limit", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("mask", ctypes.c_uint32),
        ("log_on", ctypes.c_uint32),
        ("delay_ns", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("changes", ctypes.c_uint64),
        ("fired", ctypes.c_uint64),
        ("doomed", ctypes.c_uint32),
        ("fired_pid", ctypes.c_int32),
        ("fired_call", ctypes.c_char * 32),
        ("log_used", ctypes.c_uint64),
        ("log_size", ctypes.c_uint64),
    )


class _Record(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("sequence", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("number", ctypes.c_int64 * 4),
        ("ino", ctypes.c_uint64),
        ("ino_after", ctypes.c_uint64),
        ("path_size", ctypes.c_uint32),
        ("other_size", ctypes.c_uint32),
        ("data_size", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("pid", ctypes.c_int32),
        ("whole", ctypes.c_int32),
        ("by_name", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("name", ctypes.c_char * 24),
    )


class LogCutError(Exception):
    """The run made more calls than the log holds: what it says is not the whole story."""


def compiler() -> str | None:
    """The machine's C compiler; None if there is none."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def build(directory: Path) -> Path:
    """The shim's shared library, built into `directory`; readable by every user."""
    library = directory / "shim.so"
    command = [str(compiler()), "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Question(Struct, frozen=True):
    """A call that waits for an answer."""

    sequence: int
    after: bool
    name: str
    path: bytes
    other: bytes


class Questions:
    """The outer end of the hook's two FIFOs. A context manager; `select` takes it."""

    def __init__(self, hook: Path) -> None:
        # Both ends of each: so neither side's open waits, and none sees an end of file.
        self._ask = os.open(f"{hook}.ask", os.O_RDWR)
        self._go = os.open(f"{hook}.go", os.O_RDWR)
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ask)
        os.close(self._go)

    def fileno(self) -> int:
        """Readable when a call waits."""
        return self._ask

    def take(self) -> Question:
        """Wait for the next call that asks."""
        while b"\0" not in self._pending:
            self._pending += os.read(self._ask, 1 << 16)
        text, _, self._pending = self._pending.partition(b"\0")
        sequence, after, name, path, other = text.split(b"\t", 4)
        return Question(int(sequence), after == b"1", name.decode(), path, other)

    def answer(self) -> None:
        """Let it go on."""
        os.write(self._go, b"g")


class Shim:
    """One control page in `directory`, and the library that looks at it."""

    def __init__(self, library: Path, directory: Path) -> None:
        self.library = library
        self.page = directory / "control"
        self.hook = directory / "hook"
        size = ctypes.sizeof(_Control) + LOG_BYTES
        with open(self.page, "w+b") as file:
            os.truncate(file.fileno(), size)
            os.fchmod(file.fileno(), 0o666)  # the process may have dropped its ids
            self._map = mmap.mmap(file.fileno(), size)
        self._control = _Control.from_buffer(self._map)
        self._control.log_size = LOG_BYTES
        self._control.hook = bytes(self.hook)
        for end in ("ask", "go"):
            os.mkfifo(f"{self.hook}.{end}")
            os.chmod(f"{self.hook}.{end}", 0o666)

    def environment(self) -> dict[str, str]:
        """This process's environment with the shim preloaded."""
        return {**os.environ, "LD_PRELOAD": str(self.library), "SHIM_CONTROL": str(self.page)}

    def arm(self, root: Path, injection: Injection = NONE, *, log: bool = False) -> None:
        """Count calls below `root` from zero and inject; the last run's processes are gone."""
        control = self._control
        control.at = 0
        self._clear_log()
        control.action, control.after = injection.action, injection.after
        control.error, control.mask = injection.error, injection.mask
        # An interrupted call is made again at once: for ever would be no kernel's behaviour.
        interrupts = injection.error == errno.EINTR
        control.sticky = injection.sticky * (2 if interrupts else 1)
        control.limit = injection.limit
        control.delay_ns, control.log_on = injection.delay_ns, log
        control.count = control.changes = control.fired = control.doomed = control.log_used = 0
        control.fired_pid, control.fired_call = 0, b""
        control.root = os.fsencode(root)
        control.at = injection.at

    def _clear_log(self) -> None:
        # A killed process reserves without filling: old bytes must not be read in its place.
        start, used = ctypes.sizeof(_Control), min(self._control.log_used, LOG_BYTES)
        self._map[start : start + used] = bytes(used)

    def stand_down(self) -> None:
        """Count and inject nothing from now on."""
        self._control.at, self._control.root = 0, b""

    def questions(self) -> "Questions":
        """Listen to the hook; open before the process runs that will ask."""
        return Questions(self.hook)

    @property
    def count(self) -> int:
        """How many calls were counted since `arm`."""
        return int(self._control.count)

    @property
    def changes(self) -> int:
        """How many changing calls were tried since `arm`, whatever the mask."""
        return int(self._control.changes)

    @property
    def fired(self) -> int:
        """How often the injection acted."""
        return int(self._control.fired)

    @property
    def fired_call(self) -> str:
        """The name of the last call at which it acted."""
        return bytes(self._control.fired_call).decode()

    def log(self) -> list[Call]:
        """The calls since `arm(log=True)`, in the order in which they returned.

        Raises:
            LogCutError: there were more than the log holds.
        """
        if self._control.log_used > LOG_BYTES:
            raise LogCutError(f"{self._control.log_used} bytes of calls, {LOG_BYTES} held")
        return list(self._calls())

    def _calls(self) -> Iterator[Call]:
        offset, end = ctypes.sizeof(_Control), ctypes.sizeof(_Control) + self._control.log_used
        while offset < end:
            record = _Record.from_buffer_copy(self._map, offset)
            if not record.size:  # reserved by a process that was killed before it wrote
                return
            if record.whole:
                yield self._call(record, offset + ctypes.sizeof(_Record))
            offset += record.size

    def _call(self, record: _Record, at: int) -> Call:
        ends = [at + record.path_size]
        ends += [ends[0] + record.other_size, ends[0] + record.other_size + record.data_size]
        return Call(
            name=record.name.decode(),
            kind=Kind(record.kind),
            sequence=record.sequence,
            path=self._map[at : ends[0]],
            other=self._map[ends[0] : ends[1]],
            result=record.result,
            error=record.error,
            number=tuple(record.number),
            ino=record.ino,
            ino_after=record.ino_after,
            data=self._map[ends[1] : ends[2]],
            pid=record.pid,
            by_name=bool(record.by_name),
        )
