"""Reading SCR's files: a name in an open directory gives a tree, or one clear error."""

import os
import re
from collections.abc import Iterator

from msgspec import Struct

from poststage import names
from poststage.durable import fsops
from poststage.errors import StateFileError
from poststage.statefile import kvtree
from poststage.statefile.anyone import read_all
from poststage.statefile.kvtree import Tree

FLUSH, INDEX, SUMMARY, RANKS = b"flush.scr", b"index.scr", b"summary.scr", b"rank2file"
INDEX_VERSION, SUMMARY_VERSION = 2, 6
RANKS_MAX = 1 << 24

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PART = re.compile(rb"rank2file\.0\.\d+\Z")
_NUMBER = re.compile(rb"(0|[1-9]\d{0,8})\Z")


class Part(Struct, frozen=True):
    """What SCR recorded of a dataset's ranks: `files[r]` are those of rank r, by SCR's prefix."""

    ranks: int
    files: dict[int, frozenset[bytes]]


def read_tree(dir_fd: int, name: bytes, *, trusted_uid: int | None = None) -> Tree | None:
    """The KVTree file `name`; None if there is none.

    Raises:
        StateFileError: it is damaged, no regular file, or not of `trusted_uid`.
        OSError: it cannot be read.
    """
    try:
        fd = os.open(name, _OPEN, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        info = os.fstat(fd)
        if not fsops.is_regular(info) or info.st_size > kvtree.FILE_MAX:
            raise ValueError("is not a regular file of a bearable size")
        if trusted_uid not in {None, info.st_uid}:
            raise ValueError(f"belongs to uid {info.st_uid}")
        return kvtree.parse(read_all(fd, info.st_size))
    except ValueError as error:
        raise damaged(name, str(error)) from error
    finally:
        os.close(fd)


def damaged(name: bytes, fact: str) -> StateFileError:
    """The error for one of SCR's files."""
    return StateFileError(
        f"{names.shown(name)}: {names.shown(fact)}; it was left as it is",
        hint="keep it; SCR's other files and the state files may tell the same without it",
    )


def ids(tree: Tree, key: bytes) -> Iterator[tuple[int, Tree]]:
    """(number, what is below) for each child of `key`, in ascending order.

    Raises:
        ValueError: a child is no number.
    """
    found = []
    for text, below in tree.get(key, {}).items():
        if not _NUMBER.match(text):
            raise ValueError(f"{names.shown(key)} {names.shown(text[:40])} is not a number")
        found.append((int(text), below))
    yield from sorted(found, key=lambda one: one[0])


def read_ranks(dir_fd: int, *, trusted_uid: int | None = None) -> Part | None:
    """Who takes part in the dataset whose directory is open; None if SCR did not get so far.

    Raises:
        StateFileError: the list is damaged, or a rank is missing in it.
        OSError: it cannot be read.
    """
    root = read_tree(dir_fd, RANKS, trusted_uid=trusted_uid)
    if root is None:
        return None
    try:
        ranks = kvtree.number(root, b"RANKS", 0, RANKS_MAX)
        if ranks is None:
            raise ValueError("RANKS is missing")
        return Part(ranks, _files(dir_fd, ranks, trusted_uid))
    except ValueError as error:
        raise damaged(RANKS, str(error)) from error


def _files(dir_fd: int, ranks: int, trusted_uid: int | None) -> dict[int, frozenset[bytes]]:
    found: dict[int, frozenset[bytes]] = {}
    for name in sorted(os.fsencode(name) for name in os.listdir(dir_fd)):
        part = read_tree(dir_fd, name, trusted_uid=trusted_uid) if _PART.match(name) else None
        if part is None or kvtree.number(part, b"LEVEL", 0, 64) != 0:
            continue
        for rank, below in ids(part, b"RANK"):
            if rank in found:
                raise ValueError(f"rank {rank} is listed twice")
            found[rank] = frozenset(below.get(b"FILE", {}))
    if set(found) != set(range(ranks)):
        raise ValueError(f"{len(found)} of {ranks} ranks are listed")
    return found
