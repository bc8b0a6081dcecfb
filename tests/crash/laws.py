"""What must hold of a directory at any instant, as pure functions of what is seen there.

The numbers are those of docs/finalize-protocol.md.
"""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from tests.crash.trees import Node, Tree, shown

LEFT = "law 3: the temp file of the failed"
"""How the complaint about one that stands there after the commit begins."""


class Promise(Struct, frozen=True):
    """What is promised of one destination (names are paths below the scene's root)."""

    destination: bytes
    temp: bytes
    new: Node | None
    """The complete new version; None where the transfer failed and nothing may appear."""
    old: Node | None = None
    """What stood there before; None for nothing."""
    also: tuple[bytes, ...] = ()
    """Further names under which the data may be found."""
    or_at: tuple[bytes, ...] = ()
    """Names that the new version may get instead (a conflict copy whose name was taken)."""
    keeps_old: tuple[bytes, ...] = ()
    """Where else the old version may stand; it must be somewhere, if any name is given."""


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
        """The exit status of a run that has done all that can be done."""

    @property
    def settles(self) -> bool:
        """Whether a run can settle everything."""

    def arguments(self, root: Path) -> tuple[object, ...]:
        """What the target is called with."""

    def lay(self, root: Path) -> None:
        """Lay the situation out below `root`, whatever is there now."""

    def settled(self, tree: Tree) -> bool:
        """Whether the state is committed: all is final and durable."""

    def known(self, name: bytes) -> bool:
        """Whether a file of this name may come into being."""

    def lasting(self, name: bytes, node: Node) -> Node | None:
        """`node` without what may differ between two runs to the same end; None: all of it."""


def violations(scene: Scene, before: Tree, now: Tree, *, settled: bool | None = None) -> list[str]:
    """What of `now` breaks a law, in words; `before` is the tree as it was laid out.

    `settled` False: do not hold the program to what it has committed (it was lied to).
    """
    settled = scene.settled(now) if settled is None else settled
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
    if node.kind == now.kind == stat.S_IFDIR:  # its entries may change, and its times with them
        return (node.mode, node.uid, node.gid) != (now.mode, now.uid, now.gid)
    return replace(node, atime_ns=0) != replace(now, atime_ns=0)


def is_version(node: Node, version: Node) -> bool:
    """Whether `node` is the complete `version`: content, ids, mode and mtime exact."""
    return _version(node) == _version(version)


def _version(node: Node) -> tuple[object, ...]:
    if node.kind == stat.S_IFDIR:  # its contents and times are its entries'
        return node.kind, node.mode, node.uid, node.gid
    return node.kind, node.mode, node.uid, node.gid, node.mtime_ns, node.content


def _stands(version: Node | None, there: Node | None) -> bool:
    if version is None or there is None:
        return version is there
    return is_version(there, version)


def _broken(promise: Promise, now: Tree, settled: bool) -> Iterator[str]:
    there, temp = now.get(promise.destination), now.get(promise.temp)
    places = (promise.destination, *promise.or_at)
    is_new = promise.new is not None and any(_stands(promise.new, now.get(p)) for p in places)
    if not is_new and not _stands(promise.old, there):
        versions = f"{shown(promise.new)}, {shown(promise.old)}"
        yield f"law 1: {promise.destination!r} is {shown(there)}, not {versions}"
    old_places = (promise.destination, *promise.keeps_old)
    if promise.keeps_old and not any(_stands(promise.old, now.get(p)) for p in old_places):
        yield f"law 2: what stood at {promise.destination!r} is lost"
    if promise.new is None:
        if settled and temp is not None:
            yield f"{LEFT} {promise.destination!r} is left"
        return
    if not is_new and not _kept(promise, promise.new, now):
        yield f"law 2: the data of {promise.destination!r} is lost; its temp is {shown(temp)}"
    if settled and not is_new:
        yield f"law 2: committed, and {promise.destination!r} is {shown(there)}"


def _kept(promise: Promise, new: Node, now: Tree) -> bool:
    """Whether the bytes can be reached; links and directories can be made again at any time."""
    if new.kind != stat.S_IFREG:
        return True
    places = (now.get(name) for name in (promise.temp, *promise.also))
    return any(one is not None and one.content == new.content for one in places)


def differences(scene: Scene, want: Tree, now: Tree) -> list[str]:
    """Law 5: what of `now` is not as in `want`, the end of an uninterrupted run."""
    return [
        f"law 5: {name!r} is {shown(now.get(name))}, not {shown(want.get(name))}"
        for name in sorted(want.keys() | now.keys())
        if _end(scene.lasting, name, want.get(name)) != _end(scene.lasting, name, now.get(name))
    ]


def _end(
    lasting: Callable[[bytes, Node], Node | None], name: bytes, node: Node | None
) -> Node | None:
    if node is None:
        return None
    if node.kind == stat.S_IFDIR:  # a directory's own times are nobody's promise
        node = replace(node, atime_ns=0, mtime_ns=0)
    return lasting(name, replace(node, ino=0))
