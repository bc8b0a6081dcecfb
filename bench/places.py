"""Where it is measured: a directory of its own on each file system, and those that root mounts."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.faultfs import mount
from tests.faultfs.mount import FaultFs

CACHED_S = 1  # for which the kernel believes what the slow file system has told, as of any by FUSE

_LOOP_BYTES = 32 << 30  # of a sparse file
_MKFS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "ext4": ["mkfs.ext4", "-q", "-N", "4000000", "-E", "lazy_itable_init=1,nodiscard"],
}
# Nothing is written beside what is measured: the tables of inodes are zero in a new sparse file.
_MOUNT = {"xfs": "loop", "ext4": "loop,noinit_itable"}


class Place(Struct, frozen=True):
    """A directory, and the name of its file system."""

    path: Path
    kind: str
    what: str = ""

    def __str__(self) -> str:
        return self.what or f"{self.path.parent} is {self.kind}"


@contextmanager
def place(below: Path) -> Iterator[Place]:
    """A directory of its own below `below`, removed after the block."""
    path = Path(tempfile.mkdtemp(prefix="poststage-bench-", dir=below))
    try:
        yield Place(path, kind_of(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def kind_of(path: Path) -> str:
    """The file system's type, as the kernel names it in mountinfo."""
    words = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(path)]
    found = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return found.split()[-1]  # the last mounted is the one that is seen


def no_slow() -> str:
    """Why there is no slow file system here; "" if there can be."""
    return mount.hindrance()


@contextmanager
def slow(below: Path, *, delay_s: float) -> Iterator[tuple[Path, FaultFs]]:
    """A directory each operation on which takes `delay_s` longer, many at once; and its control.

    What is made through `FaultFs.source` is there at once.
    """
    with (
        place(below) as where,
        FaultFs(mount.build(where.path), where.path / "fs") as fs,
    ):
        fs.delay(delay_s)
        fs.cache(CACHED_S)
        yield fs.point, fs


def no_loop(kind: str) -> str:
    """Why no file system of this kind can be made here; "" if one can."""
    if mount.hindrance():
        return f"{kind} on a loop device needs root"
    return "" if shutil.which(f"mkfs.{kind}") else f"no mkfs.{kind} on this machine"


@contextmanager
def fresh(below: Path, kind: str) -> Iterator[Place]:
    """A fresh `xfs` (with reflinks) or `ext4` on a loop device, its file below `below`."""
    with place(below) as where:
        image, point = where.path / "image", where.path / kind
        point.mkdir()
        with open(image, "wb") as file:
            file.truncate(_LOOP_BYTES)
        subprocess.run([*_MKFS[kind], image], check=True)
        subprocess.run(["mount", "-o", _MOUNT[kind], image, point], check=True)
        try:
            yield Place(point, kind, f"a new {kind} on a loop device in {below}")
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)


@contextmanager
def fresh_or(below: Path, kind: str) -> Iterator[Place]:
    """`fresh`, or where that cannot be a directory in `below`.

    A used ext4 is slow to make files for minutes after many were deleted (it does not give out
    their inodes again, and looks at each), whoever deleted them.
    """
    with place(below) if no_loop(kind) else fresh(below, kind) as found:
        yield found
