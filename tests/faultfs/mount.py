"""Mounting faultfs: a directory seen through a file system that can be told to lie."""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from enum import IntEnum, IntFlag
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

SOURCE = Path(__file__).with_name("faultfs.c")
_CAP_SYS_ADMIN = 21  # linux/capability.h


class Lack(IntFlag):
    """What the file system does not have."""

    NOTHING = 0
    RENAME_FLAGS = 1
    """renameat2(2) with any flag answers EINVAL, as Lustre's does."""
    LINKS = 2
    """link(2) answers EPERM."""


class Op(IntEnum):
    """FUSE's numbers of the operations that tests choose from (linux/fuse.h)."""

    LOOKUP = 1
    GETATTR = 3
    SETATTR = 4
    SYMLINK = 6
    MKDIR = 9
    UNLINK = 10
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    FSYNC = 20
    OPENDIR = 27
    READDIR = 28
    FSYNCDIR = 30
    CREATE = 35
    RENAME2 = 45


class Faults(Struct, frozen=True):
    """Each of `chosen` fails with `error`, with a chance of `per_mille` drawn by `seed`."""

    error: int
    seed: int
    chosen: tuple[Op, ...]
    per_mille: int = 100

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} by seed {self.seed}"


class _Control(ctypes.Structure):
    _fields_ = (
        ("delay_ns", ctypes.c_uint64),
        ("lacks", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("per_mille", ctypes.c_uint64),
        ("error", ctypes.c_uint64),
        ("chosen", ctypes.c_uint64),
        ("fired", ctypes.c_uint64),
        ("hang_in", ctypes.c_uint64),
        ("cached_s", ctypes.c_uint64),
        ("count", ctypes.c_uint64 * 64),
    )


def hindrance() -> str:
    """Why nothing can be mounted here; "" if it can."""
    if os.geteuid() != 0:
        return "mounting a FUSE file system of our own needs root"
    if not _may_mount():
        return "root may not mount here (no CAP_SYS_ADMIN)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse on this machine"
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return "no C compiler on this machine"
    return ""


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def build(directory: Path) -> Path:
    """The program, built into `directory`."""
    program = directory / "faultfs"
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    command: list[str | Path] = [
        compiler,
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        program,
        SOURCE,
    ]
    subprocess.run(command, check=True)
    return program


class FaultFs:
    """`directory`/source shown at `directory`/mounted. A context manager; unmounts at the end."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.source, self.point = directory / "source", directory / "mounted"
        for path in (directory, self.source, self.point):
            path.mkdir(exist_ok=True)
        page = directory / "control"
        page.write_bytes(bytes(ctypes.sizeof(_Control)))
        with open(page, "r+b") as file:
            self._control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))
        self._process = subprocess.Popen(
            [program, self.source, self.point, page], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"faultfs did not mount, status {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.be_honest()
        subprocess.run(["umount", "--lazy", self.point], check=True)
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def lie(self, faults: Faults) -> None:
        """Fail as `faults` say from now on."""
        control = self._control
        control.seed, control.error = faults.seed * 0x9E3779B97F4A7C15 % 2**64 or 1, faults.error
        control.per_mille, control.fired = faults.per_mille, 0
        control.chosen = sum(1 << op for op in set(faults.chosen))

    def be_honest(self) -> None:
        """Fail and hang no more."""
        self._control.chosen = self._control.hang_in = 0

    def hang(self, after: int) -> None:
        """Answer `after` more operations, and no other until `be_honest`."""
        self._control.hang_in = after + 1

    def lack(self, lacks: Lack) -> None:
        """Have everything but `lacks` from now on."""
        self._control.lacks = int(lacks)

    def delay(self, seconds: float) -> None:
        """Take `seconds` longer for each operation from now on, for many at the same time."""
        self._control.delay_ns = int(seconds * 1e9)

    def cache(self, seconds: int) -> None:
        """Let the kernel believe for so long what it was told of names and attributes."""
        self._control.cached_s = seconds

    @property
    def fired(self) -> int:
        """How many operations failed since `lie`."""
        return int(self._control.fired)

    def count(self, op: Op) -> int:
        """How many of these operations there have been."""
        return int(self._control.count[op])
