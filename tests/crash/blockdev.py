"""File systems on a loop device over a file, whose power can be cut."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

_MIB = 1 << 20


class FileSystem(Struct, frozen=True):
    """How one is made and mounted."""

    name: str
    make: tuple[str, ...]
    size_mib: int
    options: str = ""


FILE_SYSTEMS = (
    # What is lazy would be written by a kernel thread during the test.
    FileSystem(
        "ext4",
        ("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
        64,
        "noauto_da_alloc",  # its help for programs that do not sync would hide their bug
    ),
    FileSystem("xfs", ("mkfs.xfs", "-q", "-f"), 300),
    # One copy of metadata: the device is small.
    FileSystem("btrfs", ("mkfs.btrfs", "-q", "-f", "-m", "single"), 128),
)


def missing(system: FileSystem) -> str:
    """What keeps this machine from mounting `system`, in words; empty if nothing does."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    if shutil.which(system.make[0]) is None:
        return f"{system.make[0]} is not installed"
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        return "this machine has no loop devices"
    known = Path("/proc/filesystems").read_text().split()
    return "" if system.name in known else f"this kernel has no {system.name}"


class Disk:
    """An image file and where it is mounted."""

    def __init__(self, system: FileSystem, image: Path, mountpoint: Path) -> None:
        self.system, self.image, self.mountpoint = system, image, mountpoint

    def make(self) -> None:
        """An empty file system."""
        with open(self.image, "wb") as file:
            file.truncate(self.system.size_mib * _MIB)
        subprocess.run([*self.system.make, self.image], check=True)

    @contextmanager
    def mounted(self, image: Path | None = None) -> Iterator[Path]:
        """Mount the image (or a copy of it) while the block runs; its root directory."""
        options = ",".join(filter(None, ("loop", self.system.options)))
        command = ["mount", "-t", self.system.name, "-o", options]
        subprocess.run([*command, image or self.image, self.mountpoint], check=True)
        try:
            yield self.mountpoint
        finally:
            subprocess.run(["umount", self.mountpoint], check=True)

    def cut(self, copy: Path) -> Path:
        """What the device holds at this instant, as a copy of the image; holes are kept."""
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        return copy
