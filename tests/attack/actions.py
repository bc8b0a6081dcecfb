"""What an attacker does between two calls of the finalizer: a name becomes something else."""

import itertools
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from msgspec import Struct

from tests.attack import victim
from tests.attack.victim import ATTACKER


class Place(Enum):
    """Which name is swapped; paths below the scene's root."""

    LEAF = b"home/out/one"
    LEAF_REPLACED = b"home/out/two"
    TEMP = b"TEMP home/out/one"
    TEMP_REPLACED = b"TEMP home/out/two"
    TEMP_FAILED = b"TEMP home/out/failed"
    TEMP_SYMLINK = b"TEMP home/out/sym"
    TEMP_LINK = b"TEMP home/out/other"
    PARENT = b"home/out"
    DIRECTORY = b"home/out/sub"
    STATE = b"state/d/0.state"
    DONE = b"state/d/0.done"
    DATASET = b"state/d"
    STATEDIR = b"state"
    LOCK = b"state/.finalize.lock"
    REPORT = b"state/d.report.json"
    REPORT_TEMP = b"state/.d.report.json.new"


OF_STATE = frozenset(
    {
        Place.STATE,
        Place.DONE,
        Place.DATASET,
        Place.STATEDIR,
        Place.LOCK,
        Place.REPORT,
        Place.REPORT_TEMP,
    }
)
"""Out of the attacker's reach where only root can write STATEDIR."""

Put = Callable[[Path, Path], None]
"""Make something at the first path; the second is the scene's root, `victims` beside it."""


def _victim(root: Path, name: bytes) -> Path:
    return root.parent / "victims" / os.fsdecode(name)


def _symlink_to_file(path: Path, root: Path) -> None:
    path.symlink_to(_victim(root, victim.ROOT_FILE))


def _symlink_to_neighbour(path: Path, root: Path) -> None:
    path.symlink_to(_victim(root, victim.NEIGHBOUR_FILE))


def _symlink_to_directory(path: Path, root: Path) -> None:
    path.symlink_to(_victim(root, victim.ROOT_DIR))


def _symlink_to_nothing(path: Path, root: Path) -> None:
    path.symlink_to(_victim(root, b"root/not-there"))


def _symlink_to_itself(path: Path, root: Path) -> None:
    path.symlink_to(path)


def _hard_link(path: Path, root: Path) -> None:
    os.link(_victim(root, victim.ROOT_FILE), path)


def _hard_link_to_setuid(path: Path, root: Path) -> None:
    os.link(_victim(root, victim.SETUID_FILE), path)


def _hard_link_to_neighbour(path: Path, root: Path) -> None:
    os.link(_victim(root, victim.NEIGHBOUR_FILE), path)


def _fifo(path: Path, root: Path) -> None:
    os.mkfifo(path)
    os.chown(path, ATTACKER, ATTACKER)


def _socket(path: Path, root: Path) -> None:
    directory = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)
    os.chown(path, ATTACKER, ATTACKER)


def _directory(path: Path, root: Path) -> None:
    path.mkdir()
    os.chown(path, ATTACKER, ATTACKER)


def _own_file(path: Path, root: Path) -> None:
    path.write_bytes(b"the attacker's own program")
    os.chown(path, ATTACKER, ATTACKER)
    path.chmod(0o6755)


def _roots_file(path: Path, root: Path) -> None:
    """A file of root's that lies in a directory of the attacker's, so he may move it."""
    os.rename(root / os.fsdecode(victim.ROOTS_FILE), path)


def _roots_directory(path: Path, root: Path) -> None:
    os.rename(root / os.fsdecode(victim.ROOTS_DIR), path)


def _roots_symlink(path: Path, root: Path) -> None:
    os.rename(root / os.fsdecode(victim.ROOTS_LINK), path)


def _neighbours_file(path: Path, root: Path) -> None:
    os.rename(root / os.fsdecode(victim.NEIGHBOURS_FILE), path)


def _nothing(path: Path, root: Path) -> None:
    pass


PUTS: tuple[Put, ...] = (
    _symlink_to_file,
    _symlink_to_neighbour,
    _symlink_to_directory,
    _symlink_to_nothing,
    _symlink_to_itself,
    _hard_link,
    _hard_link_to_setuid,
    _hard_link_to_neighbour,
    _fifo,
    _socket,
    _directory,
    _own_file,
    _roots_file,
    _roots_directory,
    _roots_symlink,
    _neighbours_file,
    _nothing,
)


def plant(put: Put, path: Path, root: Path) -> None:
    """Make what `put` makes at `path`, if that can be done; a symlink is the attacker's."""
    with suppress(OSError):  # the directory above it is not there, or what is moved is not
        put(path, root)
        if path.is_symlink() and put is not _roots_symlink:
            os.chown(path, ATTACKER, ATTACKER, follow_symlinks=False)


class Swap(Struct, frozen=True):
    """`place` becomes what `put` makes; what stood there is moved out of the way."""

    place: Place
    put: Put

    def __str__(self) -> str:
        return f"{self.place.name} becomes {self.put.__name__.strip('_')}"

    def apply(self, root: Path, place: bytes) -> None:
        """Do it below `root`. `place` is the name that stands for `self.place` there."""
        path = root / os.fsdecode(place)
        with suppress(OSError):  # it is not there (any more)
            os.rename(path, root / _ASIDE)
        plant(self.put, path, root)

    def undo(self, root: Path, place: bytes) -> None:
        """Put back what stood there, as if nothing had been; what was planted is moved away."""
        path = root / os.fsdecode(place)
        with suppress(OSError):
            os.rename(path, root / _AWAY)
        with suppress(OSError):
            os.rename(root / _ASIDE, path)


_ASIDE, _AWAY = "home/aside", "home/away"
SWAPS = tuple(Swap(place, put) for place, put in itertools.product(Place, PUTS))
