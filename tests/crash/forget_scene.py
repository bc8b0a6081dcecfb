"""`poststage forget` over what a finished run has left: every job's file is a bystander."""

from pathlib import Path

from msgspec import Struct

from tests.crash import trees
from tests.crash.laws import Promise
from tests.crash.trees import Node, Tree


class ForgetScene(Struct, frozen=True):
    """The end of a finalizer's run, whose records are to go."""

    tree: Tree
    site: Path
    name: str = "forget"
    target: str = "tests.crash.programs:forget"
    promises: tuple[Promise, ...] = ()
    done_status: int = 0
    settles: bool = True

    def arguments(self, root: Path) -> tuple[object, ...]:
        return str(root / "state"), str(self.site)

    def lay(self, root: Path) -> None:
        trees.lay(root, self.tree)

    def settled(self, tree: Tree) -> bool:
        return not any(name.endswith((b".done", b".json")) for name in tree)

    def known(self, name: bytes) -> bool:
        return name.startswith(b"state/")

    def lasting(self, name: bytes, node: Node) -> Node:
        return node
