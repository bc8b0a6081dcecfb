"""The stand-in programs as scenes: one file, with or without an older version of it."""

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tests.crash import standin, trees
from tests.crash.forkserver import SELF, Who
from tests.crash.laws import Promise
from tests.crash.trees import Node, Tree


class StandinScene(Struct, frozen=True):
    """A temp file of another mode and owner beside its destination, and a state file."""

    name: str
    promises: tuple[Promise, ...]
    tree: Tree
    defect: str = ""
    target: str = "tests.crash.standin:publish"
    done_status: int = 0
    settles: bool = True

    def arguments(self, root: Path) -> tuple[object, ...]:
        return str(root), self.defect

    def lay(self, root: Path) -> None:
        trees.lay(root, self.tree)

    def settled(self, tree: Tree) -> bool:
        return os.fsencode(standin.STATE) not in tree

    def known(self, name: bytes) -> bool:
        return name in {os.fsencode(standin.STATE), os.fsencode(standin.DONE)}

    def lasting(self, name: bytes, node: Node) -> Node:
        return node


def scene(defect: str = "", *, who: Who = SELF, replaces: bool = False) -> StandinScene:
    """The scene for the stand-in with `defect`, its files owned by `who`."""
    uid = os.geteuid() if who.uid is None else who.uid
    gid = os.getegid() if who.uid is None else who.gid
    temp = trees.file(b"new content" * 9, mode=0o600, uid=uid, gid=gid)
    atime_ns, mtime_ns = standin.TIMES_NS
    new = replace(temp, mode=standin.MODE, atime_ns=atime_ns, mtime_ns=mtime_ns)
    old = trees.file(b"old content", mode=0o640, uid=uid, gid=gid) if replaces else None
    name, hidden = os.fsencode(standin.NAME), os.fsencode(standin.TEMP)
    tree = {
        b"": trees.directory(uid=uid, gid=gid),
        hidden: temp,
        os.fsencode(standin.STATE): trees.file(b"state", uid=uid, gid=gid),
        b"bystander": trees.file(b"mine", mode=0o600, uid=uid, gid=gid),
    }
    if old is not None:
        tree[name] = old
    promise = Promise(name, hidden, new, old)
    return StandinScene(defect or "right", (promise,), tree, defect)
