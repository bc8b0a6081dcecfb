"""AXL's state files for the sweeps: what it leaves behind, ended by the same finalizer."""

import os
import re
from pathlib import Path

from msgspec.structs import replace

from poststage import names
from poststage.finalize.observe import stamp
from poststage.model import Ended, Entry
from poststage.statefile import verdicts
from tests.axl.lay import file, metadata, pack, transfer
from tests.crash import finalize_scene as scenes
from tests.crash import trees
from tests.crash.finalize_cases import MODES, Ids, new_node, temp_node
from tests.crash.finalize_scene import (
    CREATED_NS,
    DATASET,
    STATE_DIR,
    FinalizeScene,
    Part,
    entry_of,
    temp_path,
)
from tests.crash.laws import Promise
from tests.crash.trees import Node, Tree

NAME = STATE_DIR + b"/" + os.fsencode(DATASET) + b"/job.axl"
CANCELED = 5  # as in axl.h
FUTURE_NS = 4 * 10**18  # a source that was changed after all that is here

__all__ = ["AXL_CASES", "MODES"]


class AxlScene(FinalizeScene, frozen=True):
    """One state file of AXL's; `parts` has one part, whose entries it is of."""

    ctime_ns: int = 0
    cancelled: bool = False

    def lay(self, root: Path) -> None:
        trees.lay(root, self.tree)
        path = root / os.fsdecode(NAME)
        files = {e.source: self._file(root, e) for e in self._entries()}
        path.write_bytes(pack(transfer(files, **({"state": CANCELED} if self.cancelled else {}))))
        os.utime(path, ns=(CREATED_NS, CREATED_NS))
        os.chown(path, *self.ids)

    def _file(self, root: Path, entry: Entry) -> list[tuple[bytes, object]]:
        meta = entry.meta
        recorded = metadata(
            meta.size,
            UID=meta.uid,
            GID=meta.gid,
            MODE=0o100000 | meta.mode,
            atime_ns=meta.atime_ns,
            mtime_ns=meta.mtime_ns,
            ctime_ns=self.ctime_ns,
        )
        return file(os.fsencode(root) + b"/" + temp_path(entry), **recorded)

    def _entries(self) -> tuple[Entry, ...]:
        return self.parts[0].entries

    def settled(self, tree: Tree) -> bool:
        if NAME + b".axl.done" in tree:
            return NAME not in tree
        kept = tree.get(NAME + b".axl.verdicts")
        return kept is not None and len(ended(kept.content)) == len(self._entries())

    def lasting(self, name: bytes, node: Node) -> Node | None:
        if name.endswith(b".axl.verdicts"):
            content = repr({index: one.verdict for index, one in ended(node.content).items()})
            return replace(node, atime_ns=0, mtime_ns=0, content=content.encode())
        lasting = super().lasting(name, node)
        if lasting is not None and name.endswith(b".json"):
            # "5 of 17 bytes had arrived": what it was about is deleted
            return replace(lasting, content=re.sub(rb'"reason": "[^"]*"', b"", lasting.content))
        return lasting


def ended(content: bytes) -> dict[int, Ended]:
    """The verdicts in a file beside AXL's; none in a damaged one."""
    fd = os.memfd_create("verdicts")
    try:
        os.write(fd, content)
        # Its first record names the state file that it is about: the hash of its contents.
        id_ = content[content.index(b'"id":"') + 6 :][:16].decode()
        return {i: one for i, one in verdicts.ended(fd, id_, 99).items() if one.verdict is not None}
    except ValueError:
        return {}
    finally:
        os.close(fd)


def _entry(node: Node, path: bytes, index: int) -> Entry:
    return replace(entry_of(node, path, index), temp=path.rpartition(b"/")[2] + b"._AXL")


def axl_publish(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """All copied, never finalized: two files, the second empty."""
    one, two = new_node(ids, mode), new_node(ids, mode, b"")
    entries = (_entry(one, b"out/one", 0), _entry(two, b"out/two", 1))
    tree, promises = scenes.skeleton(by), []
    for entry, new in zip(entries, (one, two), strict=True):
        tree[temp_path(entry)] = temp_node(new, by)
        promises.append(Promise(entry.destination, temp_path(entry), new))
    return AxlScene("axl publish", tuple(promises), tree, (Part(0, entries),), site, by)


def axl_half_renamed(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Killed between its renames, setuid and setgid lost by its chown."""
    one, two = new_node(ids, mode), new_node(ids, mode, b"the second")
    entries = (_entry(one, b"out/one", 0), _entry(two, b"out/two", 1))
    tree = {**scenes.skeleton(by), b"out/one": one, temp_path(entries[1]): temp_node(two, by)}
    promises = (
        Promise(b"out/one", b"", one, one),
        Promise(b"out/two", temp_path(entries[1]), two),
    )
    return AxlScene("axl half renamed", promises, tree, (Part(0, entries),), site, by)


def axl_partial(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Killed while it copied: one file is whole, one is not."""
    good, bad = new_node(ids, mode), new_node(ids, mode, b"never to be whole")
    entries = (_entry(bad, b"out/bad", 0), _entry(good, b"out/good", 1))
    half = replace(temp_node(bad, by), content=bad.content[:5])
    tree = {**scenes.skeleton(by)}
    tree |= {temp_path(entries[0]): half, temp_path(entries[1]): temp_node(good, by)}
    promises = (
        Promise(b"out/bad", temp_path(entries[0]), None),
        Promise(b"out/good", temp_path(entries[1]), good),
    )
    parts = (Part(0, entries),)
    return AxlScene("axl partial", promises, tree, parts, site, by, done_status=3)


def axl_replace(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """What stood there before the source was last changed is replaced, as AXL would."""
    new, old = new_node(ids, mode), trees.file(b"the old version", uid=by[0], gid=by[1])
    entry = _entry(new, b"out/one", 0)
    temp = replace(temp_node(new, by), mtime_ns=FUTURE_NS)
    tree = {**scenes.skeleton(by), b"out/one": old, temp_path(entry): temp}
    promise = Promise(b"out/one", temp_path(entry), new, old)
    parts = (Part(0, (entry,)),)
    return AxlScene("axl replace", (promise,), tree, parts, site, by, ctime_ns=FUTURE_NS)


def axl_cancelled(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """The same, cancelled when it was whole: nothing is displaced."""
    new, old = new_node(ids, mode), trees.file(b"the old version", uid=by[0], gid=by[1])
    entry = _entry(new, b"out/one", 0)
    temp = replace(temp_node(new, by), mtime_ns=FUTURE_NS)
    asides = tuple(
        b"out/" + names.conflict_name(b"one", stamp(CREATED_NS), attempt) for attempt in (0, 1, 2)
    )
    promises = (
        Promise(b"out/one", b"", old, old),
        Promise(asides[0], temp_path(entry), new, or_at=asides[1:]),
    )
    return AxlScene(
        "axl cancelled",
        promises,
        {**scenes.skeleton(by), b"out/one": old, temp_path(entry): temp},
        (Part(0, (entry,)),),
        site,
        by,
        frozenset(asides),
        done_status=3,
        ctime_ns=FUTURE_NS,
        cancelled=True,
    )


AXL_CASES = (axl_publish, axl_half_renamed, axl_partial, axl_replace, axl_cancelled)
