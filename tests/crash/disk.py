"""A model of what a disk may hold: names and inodes, and the operations that change them.

The weakest legal file system: what was not synced yet may have reached the disk in any
subset. fsync of a file orders its data and attributes, fsync of a directory its
entries, syncfs everything. A rename is one step; a write may have come in part.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from tests.crash.shim import Call, Kind
from tests.crash.trees import Node, Tree

_KEEP = 2**32 - 1  # uid_t and gid_t -1: leave it
_EXCHANGE, _REMOVEDIR = 2, 0x200


class Part(Enum):
    """How much of an operation has reached the disk."""

    NONE = "none"
    ALL = "all"
    HALF = "half"
    """A write: the first half of its bytes."""
    ZEROS = "zeros"
    """A write: its length, but not yet its bytes."""


class Disk(Struct):
    """Inodes by number and names (below the root) by inode."""

    inodes: dict[int, Node]
    names: dict[bytes, int]

    def copy(self) -> "Disk":
        """Another disk with the same on it."""
        return Disk(dict(self.inodes), dict(self.names))

    def tree(self) -> Tree:
        """What the names show; links counted."""
        links: dict[int, int] = {}
        for ino in self.names.values():
            links[ino] = links.get(ino, 0) + 1
        return {
            name: replace(self.inodes[ino], ino=ino, links=links[ino])
            for name, ino in self.names.items()
        }


Change = Callable[[Disk, Part], None]


class Op(Struct, frozen=True):
    """One changing operation: what it does, and which syncs make it durable."""

    text: str
    change: Change
    inode: int = 0
    """fsync of this inode covers it; 0 for an operation on names."""
    directories: tuple[bytes, ...] = ()
    """fsync of all of these directories covers it."""
    parts: tuple[Part, ...] = (Part.NONE, Part.ALL)


class Sync(Struct, frozen=True):
    """fsync of one inode (`name` if it is a directory), or syncfs: `inode` 0."""

    inode: int = 0
    name: bytes | None = None


def disk_of(tree: Tree) -> Disk:
    """The disk that shows `tree`, all of it durable."""
    return Disk(
        {node.ino: node for node in tree.values()}, {name: node.ino for name, node in tree.items()}
    )


def history(calls: Sequence[Call], root: bytes, ids: tuple[int, int]) -> list[Op | Sync]:
    """The operations and syncs of a logged run; `ids` own what it creates.

    Raises:
        NotImplementedError: a changing call that the model does not know.
    """
    found: list[Op | Sync] = []
    for call in calls:
        if call.error or not call.kind & (Kind.CHANGE | Kind.SYNC):
            continue
        found.append(_sync(call, root) if call.kind & Kind.SYNC else _op(call, root, ids))
    return found


def _sync(call: Call, root: bytes) -> Sync:
    if call.name == "syncfs":
        return Sync()
    return Sync(call.ino, _below(call.path, root))


def _below(path: bytes, root: bytes) -> bytes:
    return path[len(root) + 1 :]


def _parent(name: bytes) -> bytes:
    return name.rpartition(b"/")[0]


def _op(call: Call, root: bytes, ids: tuple[int, int]) -> Op:
    name, other = _below(call.path, root), _below(call.other, root)
    text = f"{call.name} {os.fsdecode(name)} {os.fsdecode(other)}".rstrip()
    for known, make in _ATTRIBUTES.items():
        if call.name in known:
            return Op(text, make(call), inode=call.ino)
    if call.name == "write":
        return written(call.ino, call.data, text, at=call.number[0])
    if call.name == "open" and call.ino:
        return Op(f"{text} O_TRUNC", _truncate(call, 0), inode=call.ino)
    if call.name in {"renameat", "renameat2", "rename"}:
        return Op(text, _rename(call, name, other), directories=(_parent(name), _parent(other)))
    if call.name in {"link", "linkat"}:
        return Op(text, _set(other, call.ino_after), directories=(_parent(other),))
    if call.name in {"unlink", "unlinkat", "rmdir"}:
        return Op(text, _unset(name), directories=(_parent(name),))
    if call.name in _MAKES:
        node = _made(call, ids)
        return Op(text, _create(name, call.ino_after, node), directories=(_parent(name),))
    raise NotImplementedError(call)


def _always(change: Callable[[Disk], None]) -> Change:
    def act(disk: Disk, part: Part) -> None:
        if part is not Part.NONE:
            change(disk)

    return act


def _altered(call: Call, alter: Callable[[Node], Node]) -> Change:
    def change(disk: Disk) -> None:
        if call.ino in disk.inodes:
            disk.inodes[call.ino] = alter(disk.inodes[call.ino])

    return _always(change)


def _chmod(call: Call) -> Change:
    return _altered(call, lambda node: replace(node, mode=call.number[0]))


def _chown(call: Call) -> Change:
    uid, gid = call.number[0] & _KEEP, call.number[1] & _KEEP

    def alter(node: Node) -> Node:
        mode = node.mode
        if node.kind == stat.S_IFREG:  # chown(2) strips the privileged bits, also for root
            mode &= ~stat.S_ISUID
            mode &= ~stat.S_ISGID if mode & stat.S_IXGRP else -1
        return replace(
            node,
            mode=mode,
            uid=node.uid if uid == _KEEP else uid,
            gid=node.gid if gid == _KEEP else gid,
        )

    return _altered(call, alter)


def _utimes(call: Call) -> Change:
    atime_ns, mtime_ns = call.number[:2]
    return _altered(call, lambda node: replace(node, atime_ns=atime_ns, mtime_ns=mtime_ns))


def _truncate(call: Call, size: int) -> Change:
    return _altered(
        call, lambda node: replace(node, content=node.content[:size].ljust(size, b"\0"))
    )


_ATTRIBUTES: Mapping[frozenset[str], Callable[[Call], Change]] = {
    frozenset({"chmod", "fchmod", "fchmodat"}): _chmod,
    frozenset({"chown", "lchown", "fchown", "fchownat"}): _chown,
    frozenset({"futimens", "utimensat"}): _utimes,
    frozenset({"ftruncate64", "ftruncate", "truncate64"}): lambda c: _truncate(c, c.number[0]),
}
_MAKES = frozenset({"open", "mkdir", "mkdirat", "symlink", "symlinkat"})


def written(ino: int, data: bytes, text: str, *, at: int = 0) -> Op:
    """`data` written into inode `ino` at offset `at`."""

    def change(disk: Disk, part: Part) -> None:
        if part is Part.NONE or ino not in disk.inodes:
            return
        come = data[: len(data) // 2] if part is Part.HALF else data
        come = bytes(len(data)) if part is Part.ZEROS else come
        node = disk.inodes[ino]
        old = node.content.ljust(at, b"\0")
        content = old[:at] + come + old[at + len(come) :]
        disk.inodes[ino] = replace(node, content=content)

    return Op(text, change, inode=ino, parts=tuple(Part))


def _rename(call: Call, name: bytes, other: bytes) -> Change:
    exchange = call.name == "renameat2" and call.number[0] & _EXCHANGE

    def change(disk: Disk) -> None:
        displaced = disk.names.get(other)
        disk.names[other] = call.ino
        disk.names.pop(name, None)
        if exchange and displaced is not None:
            disk.names[name] = displaced

    return _always(change)


def _set(name: bytes, ino: int) -> Change:
    return _always(lambda disk: disk.names.update({name: ino}))


def _unset(name: bytes) -> Change:
    def change(disk: Disk) -> None:
        disk.names.pop(name, None)

    return _always(change)


def _create(name: bytes, ino: int, node: Node) -> Change:
    """The inode comes into being with its first name, and is there for whoever refers to it."""

    def change(disk: Disk, part: Part) -> None:
        disk.inodes.setdefault(ino, node)
        if part is not Part.NONE:
            disk.names[name] = ino

    return change


def _made(call: Call, ids: tuple[int, int]) -> Node:
    kind, mode = stat.S_IFREG, call.number[1] & ~0o022
    if call.name.startswith("mkdir"):
        kind, mode = stat.S_IFDIR, call.number[0] & ~0o022
    if call.name.startswith("symlink"):
        kind, mode = stat.S_IFLNK, 0o777
    content = call.data if kind == stat.S_IFLNK else b""
    return Node(kind, mode, *ids, 0, 0, content, call.ino_after)
