"""What must not be touched: files of root and of another user, beside the attacker's."""

import os
import stat
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tests.crash import trees
from tests.crash.trees import Node, Tree

ATTACKER = 61234
NEIGHBOUR = 61777
SECRET = b"root's secret, which no output may show 5f0c6e1d"

ROOT_FILE = b"root/secret"
ROOT_DIR = b"root/dir"
NEIGHBOUR_FILE = b"neighbour/private"
SETUID_FILE = b"root/program"


# In a directory of the attacker's, who may rename them and no more.
ROOTS_FILE = b"home/theirs/roots"
ROOTS_DIR = b"home/out/roots"
ROOTS_LINK = b"home/theirs/link"
NEIGHBOURS_FILE = b"home/theirs/neighbours"
SIZE = 85
"""Bytes of each file that could be mistaken for a temp file by its size."""


def _file(content: bytes, mode: int, owner: int) -> Node:
    return trees.file(content, mode=mode, uid=owner, gid=owner)


TREE: Tree = {
    b"": trees.directory(mode=0o755),
    b"root": trees.directory(mode=0o755),
    ROOT_FILE: _file(SECRET, 0o600, 0),
    SETUID_FILE: _file(b"#!/bin/true\n", 0o4755, 0),
    ROOT_DIR: trees.directory(mode=0o700),
    b"root/dir/one": _file(SECRET, 0o644, 0),
    b"root/dir/d": trees.directory(mode=0o755),
    b"root/dir/d/0.state": _file(SECRET, 0o644, 0),
    b"neighbour": trees.directory(mode=0o755, uid=NEIGHBOUR, gid=NEIGHBOUR),
    NEIGHBOUR_FILE: _file(b"the neighbour's own", 0o640, NEIGHBOUR),
}


def theirs() -> dict[bytes, Node]:
    """What others keep in the attacker's directories; the names are below the scene's root."""
    secret = SECRET.ljust(SIZE)
    return {
        b"home/theirs": trees.directory(uid=ATTACKER, gid=ATTACKER),
        ROOTS_FILE: _file(secret, 0o600, 0),
        ROOTS_DIR: trees.directory(mode=0o700),
        ROOTS_DIR + b"/inside": _file(secret, 0o644, 0),
        ROOTS_LINK: replace(_file(b"one", 0o777, 0), kind=stat.S_IFLNK),
        NEIGHBOURS_FILE: _file(secret.swapcase(), 0o640, NEIGHBOUR),
    }


class Victim(Struct, frozen=True):
    """The tree at `path`, as it was laid out."""

    path: Path
    before: Tree
    inodes: frozenset[int]

    def harm(self) -> list[str]:
        """What has changed: contents, owners, modes, times; a further name is no harm."""
        return differences(self.before, trees.look(self.path))


def lay(path: Path) -> Victim:
    """Lay the tree out at `path`."""
    trees.lay(path, TREE)
    before = trees.look(path)
    return Victim(path, before, frozenset(node.ino for node in before.values()))


def differences(before: Tree, now: Tree) -> list[str]:
    """What of `now` is not as it was; access times and numbers of names aside."""
    return [
        f"law 8: the victim's {name!r} was {trees.shown(before.get(name))} "
        f"and is {trees.shown(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if _essence(before.get(name)) != _essence(now.get(name))
    ]


def _essence(node: Node | None) -> Node | None:
    return None if node is None else replace(node, atime_ns=0, links=0)


def essence_by_inode(tree: Tree, names: Iterable[bytes]) -> dict[int, Node | None]:
    """What may not change of the files `names` of `tree`, wherever they are moved."""
    return {tree[name].ino: _essence(tree[name]) for name in names}


def moved_harm(before: Mapping[int, Node | None], now: Tree) -> list[str]:
    """Which of the files known by inode number are no longer what they were.

    One that is gone is no harm: the attacker can remove a name from a directory of his.
    """
    there = {node.ino: _essence(node) for node in now.values()}
    return [
        f"law 8: inode {ino} was {trees.shown(node)} and is {trees.shown(there.get(ino))}"
        for ino, node in before.items()
        if there.get(ino, node) != node
    ]


def gains(top: Path, others: Container[int], allowed: Mapping[int, frozenset[int]]) -> list[str]:
    """Owners and groups below `top` that the attacker's files could not have got by himself.

    `allowed`: uid → the groups that its files may have. Files with an inode number in `others`
    are victims, which are judged as such.
    """
    found = []
    for path, dirs, files in os.walk(os.fsencode(top)):
        for name in [b".", *dirs, *files]:
            info = os.lstat(os.path.join(path, name))
            if info.st_ino in others:
                continue
            if info.st_gid not in allowed.get(info.st_uid, frozenset()):
                bits = stat.S_IMODE(info.st_mode)
                shown = os.path.join(path, name)
                found.append(f"law 8: {shown!r} is {info.st_uid}:{info.st_gid} {bits:04o}")
    return found
