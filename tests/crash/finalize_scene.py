"""Situations for the finalizer: files whose transfers have ended, and the state files."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.model import Entry, Head, Identity, Kind, Meta, State, Verdict
from poststage.statefile import StateWriter
from poststage.statefile.layout import LOCK_NAME
from poststage.statefile.reader import StateBuilder, fill
from tests.crash import trees, vendor
from tests.crash.forkserver import Who
from tests.crash.laws import Promise
from tests.crash.trees import Node, Tree

DATASET = "d"
CREATED_NS = 1_700_000_000 * 10**9
STATE_DIR = b"state"
DEST_DIR = b"out"


class Part(Struct, frozen=True):
    """One state file and what the vendor says of it."""

    number: int
    entries: tuple[Entry, ...]
    """`destination` is a path below the scene's root until it is laid out."""
    answer: str = "FULLSUCCESS"
    files: dict[int, str] = {}

    @property
    def id(self) -> str:
        """The transfer's id."""
        return f"{self.number:016x}"


class FinalizeScene(Struct, frozen=True):
    """A scene for `programs.finalize`; `ids` own everything."""

    name: str
    promises: tuple[Promise, ...]
    tree: Tree
    parts: tuple[Part, ...]
    site: Path
    ids: tuple[int, int]
    changing: frozenset[bytes] = frozenset()
    """Further names below the root that may come or change: directories, conflict copies."""
    target: str = "tests.crash.programs:work"
    done_status: int = 0
    settles: bool = True
    publish: str = "file"
    move: bool = False

    def arguments(self, root: Path) -> tuple[object, ...]:
        return str(root / os.fsdecode(STATE_DIR)), str(self.site), self.publish

    def lay(self, root: Path) -> None:
        trees.lay(root, self.tree)
        for part in self.parts:
            self._write(root, part)

    def _write(self, root: Path, part: Part) -> None:
        handle = vendor.answer(self.site.parent / "ledger", part.id, part.answer, part.files)
        directory = fsops.open_dir(os.fsencode(root / os.fsdecode(STATE_DIR) / DATASET))
        head = Head(part.id, DATASET, part.number, len(self.parts), vendor.NAME, CREATED_NS)
        head = replace(head, move=self.move)
        writer = StateWriter.create(directory, b"%d.state" % part.number, head)
        os.fchown(writer.fd, *self.ids)
        for entry in part.entries:
            writer.add(_placed(root, entry))
        writer.recorded()
        writer.handle(handle)
        writer.started()
        writer.flush()
        writer.close()
        os.close(directory)

    def settled(self, tree: Tree) -> bool:
        return all(self._part_settled(tree, part) for part in self.parts)

    def _part_settled(self, tree: Tree, part: Part) -> bool:
        base = STATE_DIR + b"/" + os.fsencode(DATASET) + b"/%d" % part.number
        if base + b".done" in tree:
            return base + b".state" not in tree
        node = tree.get(base + b".state")
        state = None if node is None else state_of(node.content)
        return state is not None and len(state.ended) == len(part.entries)

    def known(self, name: bytes) -> bool:
        return name in self.changing or name.startswith(STATE_DIR + b"/")

    def lasting(self, name: bytes, node: Node) -> Node | None:
        if name == STATE_DIR + b"/" + LOCK_NAME:  # without room for it the directory is locked
            return None
        if not name.startswith(STATE_DIR + b"/") or node.kind != stat.S_IFREG:
            return node
        node = replace(node, atime_ns=0, mtime_ns=0)
        if name.endswith(b".json"):
            return replace(node, content=_lasting_report(node.content))
        if name.endswith((b".state", b".done")):
            return replace(node, content=_lasting_state(node.content))
        return node


def state_of(content: bytes) -> State | None:
    """The value of a state file's bytes; None if it is none (damaged ones too)."""
    fd = os.memfd_create("state")
    os.write(fd, content)
    builder = StateBuilder()
    fact = fill(builder, fd, os.fstat(fd))
    torn = builder.whole_bytes < len(content)
    state = None if fact else builder.state(fd, b"", torn=torn)
    os.close(fd)
    return state


def _lasting_state(content: bytes) -> bytes:
    """Entries and verdicts: not when they were recorded, nor in how many steps."""
    state = state_of(content)
    if state is None:
        return content
    ended = {
        index: one.verdict.value
        for index, one in sorted(state.ended.items())
        if one.verdict is not Verdict.PUBLISHED
    }
    entries = [replace(entry, prior=None) for entry in state.entries]  # inode numbers differ
    return repr((state.head, entries, ended)).encode()


def _lasting_report(content: bytes) -> bytes:
    try:
        report: dict[str, Any] = json.loads(content)["report"]
    except (ValueError, KeyError):
        return content
    report.pop("changed", None)
    return json.dumps(report, sort_keys=True).encode()


def _placed(root: Path, entry: Entry) -> Entry:
    """`entry` as it is recorded: absolute, with what stands at its destination now."""
    destination = os.fsencode(root) + b"/" + entry.destination
    prior = entry.prior
    if prior is not None and prior.ino == 0:
        info = os.lstat(destination)
        prior = Identity(info.st_ino, info.st_size, info.st_mtime_ns)
    source = (
        entry.source if entry.source.startswith(b"/") else os.fsencode(root) + b"/" + entry.source
    )
    return replace(entry, source=source, destination=destination, prior=prior)


PRIOR = Identity(0, 0, 0)
"""Stands for: what is at the destination when the scene is laid out."""


def entry_of(
    node: Node,
    path: bytes,
    index: int,
    *,
    part: int = 0,
    kind: Kind = Kind.FILE,
    prior: bool = False,
    link_to: int | None = None,
    checksum: str | None = None,
) -> Entry:
    """The record of a file that is to become `node` at `path` below the root."""
    name = path.rpartition(b"/")[2]
    times = (node.atime_ns, node.mtime_ns)
    meta = Meta(len(node.content), node.uid, node.gid, node.mode, *times)
    return Entry(
        kind,
        b"/bb/" + name,
        path,
        b"" if kind is Kind.DIRECTORY else names.temp_name(name, f"{part:016x}", index),
        meta,
        PRIOR if prior else None,
        checksum,
        node.content if kind is Kind.SYMLINK else None,
        link_to,
    )


def temp_path(entry: Entry) -> bytes:
    """Where the temp file of `entry` is, below the root."""
    return entry.destination.rpartition(b"/")[0] + b"/" + entry.temp


def skeleton(ids: tuple[int, int]) -> dict[bytes, Node]:
    """Directories, a bystander in the destination directory and one outside of it."""
    uid, gid = ids
    folder = trees.directory(uid=uid, gid=gid)
    other = trees.file(b"not yours", mode=0o604, uid=uid, gid=gid)
    return {
        b"": folder,
        STATE_DIR: folder,
        STATE_DIR + b"/" + os.fsencode(DATASET): folder,
        DEST_DIR: folder,
        DEST_DIR + b"/bystander": other,
        b"outside": folder,
        b"outside/file": other,
    }


def ids_of(who: Who) -> tuple[int, int]:
    """Owner and group of what `who` owns."""
    return (os.geteuid(), os.getegid()) if who.uid is None else (who.uid, who.gid)
