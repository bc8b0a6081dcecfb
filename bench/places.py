"""Where it is measured: a directory of its own on each file system, and those that root mounts."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.faultfs import mount
from tests.faultfs.mount import FaultFs

_XFS_BYTES = 16 << 30  # of a sparse file


class Place(Struct, frozen=True):
    """A directory, and the name of its file system."""

    path: Path
    kind: str

    def __str__(self) -> str:
        return f"{self.path.parent} is {self.kind}"

    @property
    def free_bytes(self) -> int:
        """Room for a plain user."""
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize


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
def slow(below: Path, *, delay_s: float, threads: int = 256) -> Iterator[tuple[Path, FaultFs]]:
    """A directory each operation on which takes `delay_s` longer, many at once; and its control.

    What is made through `FaultFs.source` is there at once.
    """
    with (
        place(below) as where,
        FaultFs(mount.build(where.path), where.path / "fs", threads=threads) as fs,
    ):
        fs.delay(delay_s)
        yield fs.point, fs


def no_xfs() -> str:
    """Why no XFS can be made here; "" if one can."""
    if os.geteuid() != 0 or mount.hindrance():
        return "an XFS on a loop device needs root"
    return "" if shutil.which("mkfs.xfs") else "no mkfs.xfs on this machine"


@contextmanager
def xfs(below: Path) -> Iterator[Place]:
    """A fresh XFS with reflinks on a loop device, its file below `below`."""
    with place(below) as where:
        image, point = where.path / "image", where.path / "xfs"
        point.mkdir()
        with open(image, "wb") as file:
            file.truncate(_XFS_BYTES)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, point], check=True)
        try:
            yield Place(point, "xfs")
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)
