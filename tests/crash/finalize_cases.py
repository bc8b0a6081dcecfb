"""The cases that the finalizer is swept over: each a scene of few files and few calls."""

import stat
from collections.abc import Callable
from pathlib import Path

import xxhash
from msgspec.structs import replace

from poststage import names
from poststage.finalize.observe import stamp
from poststage.model import Entry, Kind
from tests.crash import finalize_scene as scenes
from tests.crash import trees
from tests.crash.finalize_scene import (
    CREATED_NS,
    DEST_DIR,
    FinalizeScene,
    Part,
    entry_of,
    temp_path,
)
from tests.crash.laws import Promise
from tests.crash.trees import Node

Ids = tuple[int, int]
MODES = (0o640, 0o4755, 0o000, 0o2711, 0o444)


def new_node(ids: Ids, mode: int, content: bytes = b"the job's output " * 5) -> Node:
    """A file that a job wrote."""
    return trees.file(
        content,
        mode=mode,
        uid=ids[0],
        gid=ids[1],
        atime_ns=-(10**9) + 7,
        mtime_ns=1234567890123456789,
    )


def temp_node(new: Node, by: Ids) -> Node:
    """As a vendor leaves it: the mode masked, times and owner its own."""
    mode = new.mode & 0o777 & ~0o022
    return replace(new, mode=mode, uid=by[0], gid=by[1], atime_ns=3 * 10**9, mtime_ns=3 * 10**9)


def publish(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Nothing stood there: two files, the second empty."""
    one, two = new_node(ids, mode), new_node(ids, mode, b"")
    entries = (entry_of(one, b"out/one", 0), entry_of(two, b"out/two", 1))
    tree = scenes.skeleton(by)
    promises = []
    for entry, new in zip(entries, (one, two), strict=True):
        tree[temp_path(entry)] = temp_node(new, by)
        promises.append(Promise(entry.destination, temp_path(entry), new))
    return FinalizeScene("publish", tuple(promises), tree, (Part(0, entries),), site, by)


def replacing(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """An older version stands there, as it did when the transfer was created."""
    new, old = new_node(ids, mode), trees.file(b"the old version", mode=0o600, uid=by[0], gid=by[1])
    entry = entry_of(new, b"out/one", 0, prior=True)
    tree = {**scenes.skeleton(by), temp_path(entry): temp_node(new, by), b"out/one": old}
    promise = Promise(entry.destination, temp_path(entry), new, old)
    return FinalizeScene("replace", (promise,), tree, (Part(0, (entry,)),), site, by)


def _conflicting(site: Path, by: Ids, ids: Ids, mode: int, *, newer: bool) -> FinalizeScene:
    new = new_node(ids, mode)
    mtime_ns = new.mtime_ns + (-5 if newer else 5)
    other = trees.file(b"somebody was faster", mode=0o600, uid=by[0], gid=by[1], mtime_ns=mtime_ns)
    entry = entry_of(new, b"out/one", 0)
    asides = [
        DEST_DIR + b"/" + names.conflict_name(b"one", stamp(CREATED_NS), attempt)
        for attempt in (0, 1, 2)
    ]
    temp = temp_path(entry)
    tree = {**scenes.skeleton(by), temp: temp_node(new, by), b"out/one": other}
    promises = [Promise(b"out/one", temp, new, other, keeps_old=(temp, *asides))]
    if not newer:
        became = Promise(asides[0], temp, new, or_at=tuple(asides[1:]))
        promises = [Promise(b"out/one", b"", other, other), became]
    name = "conflict, newer" if newer else "conflict, older"
    parts = (Part(0, (entry,)),)
    changing = frozenset(asides)
    return FinalizeScene(name, tuple(promises), tree, parts, site, by, changing, done_status=3)


def conflict_newer(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Something older than the transfer's file has taken the name: it steps aside."""
    return _conflicting(site, by, ids, mode, newer=True)


def conflict_older(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Something newer has taken the name: the transfer's file becomes the copy."""
    return _conflicting(site, by, ids, mode, newer=False)


def failed(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """One file failed half way, over an old version; the other is whole."""
    good, bad = new_node(ids, mode), new_node(ids, mode)
    old = trees.file(b"the old version", mode=0o600, uid=by[0], gid=by[1])
    entries = (entry_of(bad, b"out/bad", 0, prior=True), entry_of(good, b"out/good", 1))
    half = replace(temp_node(bad, by), content=bad.content[:20])
    tree = {**scenes.skeleton(by), b"out/bad": old}
    tree |= {temp_path(entries[0]): half, temp_path(entries[1]): temp_node(good, by)}
    promises = (
        Promise(b"out/bad", temp_path(entries[0]), None, old),
        Promise(b"out/good", temp_path(entries[1]), good),
    )
    part = Part(0, entries, "PARTIALSUCCESS", {0: "FAILED", 1: "FULLSUCCESS"})
    return FinalizeScene("failed", promises, tree, (part,), site, by, done_status=3)


def checksum(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """A checksum was recorded, so the contents are read first."""
    new = new_node(ids, mode)
    digest = f"xxh3_128:{xxhash.xxh3_128(new.content).hexdigest()}"
    entry = entry_of(new, b"out/one", 0, checksum=digest)
    tree = {**scenes.skeleton(by), temp_path(entry): temp_node(new, by)}
    promise = Promise(entry.destination, temp_path(entry), new)
    return FinalizeScene("checksum", (promise,), tree, (Part(0, (entry,)),), site, by)


def kinds(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """A directory that its owner may not write in the end, with a file, a link, a symlink."""
    new = new_node(ids, mode)
    link = replace(new_node(ids, 0o777, b"one"), kind=stat.S_IFLNK)
    closed = replace(trees.directory(mode=0o555, uid=by[0], gid=by[1]))
    entries = (
        entry_of(closed, b"out/sub", 0, kind=Kind.DIRECTORY),
        entry_of(new, b"out/sub/one", 1),
        entry_of(new, b"out/sub/other", 2, kind=Kind.LINK, link_to=1),
        entry_of(link, b"out/sub/sym", 3, kind=Kind.SYMLINK),
    )
    tree = {**scenes.skeleton(by), b"out/sub": replace(closed, mode=0o755)}
    temps = [temp_path(entry) for entry in entries]
    tree[temps[1]] = temp_node(new, by)
    promises = (
        Promise(b"out/sub", b"", closed, tree[b"out/sub"]),
        Promise(b"out/sub/one", temps[1], new, also=(b"out/sub/other",)),
        Promise(b"out/sub/other", temps[2], new, also=(temps[1], b"out/sub/one")),
        Promise(b"out/sub/sym", temps[3], link),
    )
    return FinalizeScene("kinds", promises, tree, (Part(0, entries),), site, by)


def dataset(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Two ranks, published as a whole or not at all."""
    parts, promises, tree = [], [], scenes.skeleton(by)
    for number in (0, 1):
        new = new_node(ids, mode, b"rank %d" % number)
        entry = entry_of(new, b"out/data.%d" % number, 0, part=number)
        tree[temp_path(entry)] = temp_node(new, by)
        promises.append(Promise(entry.destination, temp_path(entry), new))
        parts.append(Part(number, (entry,)))
    return FinalizeScene(
        "dataset", tuple(promises), tree, tuple(parts), site, by, publish="dataset"
    )


def _kept(site: Path, by: Ids, ids: Ids, mode: int, answer: str, size: int) -> FinalizeScene:
    """A temp file of `size` bytes that nobody may touch: it is a bystander."""
    new = new_node(ids, mode)
    entry = entry_of(new, b"out/one", 0)
    temp = replace(temp_node(new, by), content=new.content[:size])
    tree = {**scenes.skeleton(by), temp_path(entry): temp}
    promise = Promise(entry.destination, b"", None)
    part = Part(0, (entry,), answer, {} if answer == "UNKNOWN" else {0: answer})
    status = 75 if answer == "UNKNOWN" else 3
    return FinalizeScene(
        answer, (promise,), tree, (part,), site, by, done_status=status, settles=False
    )


def many(site: Path, by: Ids, *, count: int) -> FinalizeScene:
    """So many files with names of 200 bytes."""
    tree, promises, entries = scenes.skeleton(by), list[Promise](), list[Entry]()
    for index in range(count):
        new = new_node(by, 0o640, b"file %d" % index)
        entry = entry_of(new, b"out/" + b"%d-" % index + b"n" * 200, index)
        tree[temp_path(entry)] = temp_node(new, by)
        promises.append(Promise(entry.destination, temp_path(entry), new))
        entries.append(entry)
    parts = (Part(0, tuple(entries)),)
    return FinalizeScene("many", tuple(promises), tree, parts, site, by)


def unanswered(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """The backend does not know: everything is kept as it is."""
    return _kept(site, by, ids, mode, "UNKNOWN", 1000)


def short(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """The backend says that all is well, and the temp file is too short."""
    return _kept(site, by, ids, mode, "FULLSUCCESS", 10)


def cancelled(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """Cancelled: the temp file goes, what stood there stays."""
    new = new_node(ids, mode)
    old = trees.file(b"the old version", mode=0o600, uid=by[0], gid=by[1])
    entry = entry_of(new, b"out/one", 0, prior=True)
    half = replace(temp_node(new, by), content=new.content[:20])
    tree = {**scenes.skeleton(by), temp_path(entry): half, b"out/one": old}
    promise = Promise(b"out/one", temp_path(entry), None, old)
    part = Part(0, (entry,), "CANCELED", {0: "CANCELED"})
    return FinalizeScene("cancelled", (promise,), tree, (part,), site, by, done_status=3)


def moved(site: Path, by: Ids, ids: Ids, mode: int) -> FinalizeScene:
    """A file whose source goes when it is published; of two, one has failed."""
    new, bad = new_node(ids, mode), new_node(ids, mode)
    entries = tuple(
        replace(entry_of(node, b"out/" + name, index), source=b"outside/" + name)
        for index, (name, node) in enumerate([(b"one", new), (b"bad", bad)])
    )
    source = replace(new, uid=by[0], gid=by[1], mode=0o600)
    tree = {**scenes.skeleton(by), b"outside/one": source, b"outside/bad": source}
    tree |= {temp_path(entries[0]): temp_node(new, by)}
    tree |= {temp_path(entries[1]): replace(temp_node(bad, by), content=b"half")}
    promises = (
        Promise(b"out/one", temp_path(entries[0]), new, also=(b"outside/one",)),
        Promise(b"out/bad", temp_path(entries[1]), None),
        Promise(b"outside/bad", b"", source, source),
    )
    part = Part(0, entries, "PARTIALSUCCESS", {0: "FULLSUCCESS", 1: "FAILED"})
    going = frozenset({b"outside/one"})
    return FinalizeScene(
        "moved", promises, tree, (part,), site, by, going, done_status=3, move=True
    )


Case = Callable[[Path, Ids, Ids, int], FinalizeScene]
CASES: tuple[Case, ...] = (
    publish,
    replacing,
    conflict_newer,
    conflict_older,
    failed,
    checksum,
    kinds,
    dataset,
    unanswered,
    short,
    cancelled,
    moved,
)
