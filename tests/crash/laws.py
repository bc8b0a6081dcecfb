"""What must hold of a directory at any instant, as pure functions of what is seen there.

The numbers are those of docs/finalize-protocol.md.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from tests.crash.trees import Node, Tree, shown


class Promise(Struct, frozen=True):
    """What is promised of one destination (names are paths below the scene's root)."""

    destination: bytes
    temp: bytes
    new: Node | None
    """The complete new version; None where the transfer failed and nothing may appear."""
    old: Node | None = None
    """What stood there before; None for nothing."""


class Scene(Protocol):
    """A situation that a program is run on, and what must become of it."""

    @property
    def name(self) -> str:
        """For the table and for messages."""

    @property
    def target(self) -> str:
        """`module:function` for the fork server."""

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What is promised of each destination."""

    @property
    def done_status(self) -> int:
        """The exit status of a run that has settled everything."""

    def arguments(self, root: Path) -> tuple[object, ...]:
        """What the target is called with."""

    def lay(self, root: Path) -> None:
        """Lay the situation out below `root`, whatever is there now."""

    def settled(self, tree: Tree) -> bool:
        """Whether the state is committed: all is final and durable."""

    def known(self, name: bytes) -> bool:
        """Whether a file of this name may come into being."""

    def lasting(self, name: bytes, node: Node) -> Node:
        """`node` without what may differ between two runs to the same end."""


def violations(scene: Scene, before: Tree, now: Tree) -> list[str]:
    """What of `now` breaks a law, in words; `before` is the tree as it was laid out."""
    settled = scene.settled(now)
    found = [text for promise in scene.promises for text in _broken(promise, now, settled)]
    touched = {promise.destination for promise in scene.promises}
    touched |= {promise.temp for promise in scene.promises}
    found += [
        f"law 3: {name!r} has appeared, {shown(now[name])}"
        for name in now.keys() - before.keys() - touched
        if not scene.known(name)
    ]
    found += [
        f"law 8: {name!r} was {shown(node)} and is {shown(now.get(name))}"
        for name, node in before.items()
        if name not in touched and not scene.known(name) and _differs(node, now.get(name))
    ]
    return found


def _differs(node: Node, now: Node | None) -> bool:
    if now is None:
        return True
    if node.kind == now.kind == 0o040000:  # its entries may change, and its times with them
        return (node.mode, node.uid, node.gid) != (now.mode, now.uid, now.gid)
    return replace(node, atime_ns=0) != replace(now, atime_ns=0)


def is_version(node: Node, version: Node) -> bool:
    """Whether `node` is the complete `version`: content, ids, mode and mtime exact."""
    return _version(node) == _version(version)


def _version(node: Node) -> tuple[object, ...]:
    return node.kind, node.mode, node.uid, node.gid, node.mtime_ns, node.content


def _broken(promise: Promise, now: Tree, settled: bool) -> Iterator[str]:
    there, temp = now.get(promise.destination), now.get(promise.temp)
    new, old = promise.new, promise.old
    is_new = there is not None and new is not None and is_version(there, new)
    is_old = there is None if old is None else there is not None and is_version(there, old)
    if not is_new and not is_old:
        yield f"law 1: {promise.destination!r} is {shown(there)}, not {shown(new)}, {shown(old)}"
    if new is None:
        return
    kept = is_new or (temp is not None and temp.content == new.content and temp.kind == new.kind)
    if not kept:
        yield f"law 2: the data of {promise.destination!r} is lost; its temp is {shown(temp)}"
    if settled and not is_new:
        yield f"law 2: committed, and {promise.destination!r} is {shown(there)}"


def differences(scene: Scene, want: Tree, now: Tree) -> list[str]:
    """Law 5: what of `now` is not as in `want`, the end of an uninterrupted run."""
    return [
        f"law 5: {name!r} is {shown(now.get(name))}, not {shown(want.get(name))}"
        for name in sorted(want.keys() | now.keys())
        if _end(scene.lasting, name, want.get(name)) != _end(scene.lasting, name, now.get(name))
    ]


def _end(lasting: Callable[[bytes, Node], Node], name: bytes, node: Node | None) -> Node | None:
    if node is None:
        return None
    if node.kind == 0o040000:  # a directory's own times are nobody's promise
        node = replace(node, atime_ns=0, mtime_ns=0)
    return lasting(name, replace(node, ino=0))
