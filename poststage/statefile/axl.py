"""AXL's state file (KVTree) → `State`: our own model, and what AXL alone records besides.

Keys and their meaning: AXL 0.9.0, axl_keys.h and axl.c. Nothing of AXL's is ever written.
"""

import os
import stat

from msgspec.structs import replace

from poststage import names
from poststage.model import Ended, Entry, Foreign, Head, Kind, Meta, State, Verdict
from poststage.statefile import kvtree
from poststage.statefile.kvtree import Tree

EXTENSION = b"._AXL"
BACKEND = "axl"
"""`Head.backend` of a transfer that AXL itself copied: there is nobody to ask."""
VENDORS = {4: "datawarp", 5: "bbapi", 6: "nnf"}
"""TYPE → whom to ask; an unmerged branch shifts the numbers, so a handle counts before it."""

_COPIED_BY_AXL = frozenset({2, 7})  # TYPE: sync, pthread
_CREATED, _COMPLETED, _CANCELED = 1, 4, 5  # STATE
_DEST = 3  # STATUS: all files are at their destination
_U64 = 1 << 64
_TIME_MAX = 1 << 63  # ns; what a state file of ours can say, too

NEVER_DISPATCHED = "AXL never dispatched it: nothing was started, its source is where it was"


def is_state(tree: Tree) -> bool:
    """Whether `tree` is one of AXL's transfers, and not another file of SCR's."""
    return {b"STATE", b"STATUS", b"TYPE"} <= tree.keys()


def state_of(tree: Tree, *, id_: str, created_ns: int) -> State:
    """The transfer that `tree` records; entries in order of their sources.

    `id_` and `created_ns` stand for what AXL does not record.

    Raises:
        ValueError: it is not what AXL writes.
    """
    state = _needed(tree, b"STATE", 1, 5)
    status = _needed(tree, b"STATUS", 1, 4)
    backend, handle = _vendor(tree, state, status)
    files = tree.get(b"FILE", {})
    found = [_entry(source, files[source], state) for source in sorted(files)]
    sized = backend == BACKEND
    name = kvtree.text(tree, b"NAME") or b""
    head = Head(id_, name.decode("utf-8", "surrogateescape"), -1, 0, backend, created_ns)
    return State(
        head,
        tuple(entry for entry, _ in found),
        recorded=state > _CREATED,
        handle=handle,
        started=state > _CREATED,
        cancelled=state == _CANCELED,
        ended={},
        torn=False,
        foreign=_undoubted(found, sized=sized),
    )


def _vendor(tree: Tree, state: int, status: int) -> tuple[str, str | None]:
    """Whom to ask, and for which handle."""
    kind = _needed(tree, b"TYPE", 0, 2**31 - 1)
    handle = kvtree.number(tree, b"BB_TransferHandle", 0, _U64 - 1)
    if state == _CREATED or (state == _COMPLETED and status == _DEST):
        return BACKEND, None  # nothing was started, or AXL itself has seen the end
    if handle is not None:
        fell_back = kvtree.number(tree, b"BB_Fallback", 0, 1) == 1
        return (BACKEND, None) if fell_back else ("bbapi", str(handle))
    if kind in _COPIED_BY_AXL:
        return BACKEND, None
    return VENDORS.get(kind, f"axl-type-{kind}"), None


def _entry(source: bytes, tree: Tree, state: int) -> tuple[Entry, Foreign]:
    written = kvtree.text(tree, b"DEST")
    if not source or not written:
        raise ValueError(f"FILE {names.shown(source[:200])}: has no DEST")
    path = _tidy(written)
    meta, changed_ns = _meta(tree)
    doubt = _doubt(path, meta, _needed(tree, b"MODE", 0, 2**32 - 1) if meta else None, state)
    directory, name = names.split(path)
    final = name.rpartition(EXTENSION)[0]
    entry = Entry(
        Kind.FILE,
        source,
        os.path.join(directory, final or name),
        name,
        meta or Meta(0, 0, 0, 0, 0, 0),
    )
    return entry, Foreign(in_place=not final, changed_ns=changed_ns, doubt=doubt)


def _doubt(path: bytes, meta: Meta | None, kind: int | None, state: int) -> Ended | None:
    """Why nothing can be done for a file; None if something can."""
    if state == _CREATED:
        return Ended(Verdict.FAILED, NEVER_DISPATCHED)
    if not _usable(path):
        return Ended(Verdict.LOST, "its destination is no absolute path; it was left alone")
    if meta is None or kind is None:
        reason = "AXL recorded no size, so nothing proves what has arrived; it was left alone"
        return Ended(Verdict.LOST, reason)
    if not stat.S_ISREG(kind):
        return Ended(Verdict.LOST, "its source was no regular file; it was left alone")
    return None


def _undoubted(found: list[tuple[Entry, Foreign]], *, sized: bool) -> tuple[Foreign, ...]:
    """What is known of each entry; those that share a temp file are all in doubt."""
    written: dict[bytes, int] = {}
    for entry, _ in found:
        path = _written(entry)
        written[path] = written.get(path, 0) + 1
    reason = "several sources were written to this one file; it is kept untouched"
    twice = Ended(Verdict.LOST, reason)
    return tuple(
        replace(
            one, sized=sized, doubt=one.doubt or (twice if written[_written(entry)] > 1 else None)
        )
        for entry, one in found
    )


def _written(entry: Entry) -> bytes:
    return os.path.join(names.split(entry.destination)[0], entry.temp)


def _tidy(path: bytes) -> bytes:
    """`path` without doubled slashes and `.`; a `..` stays, for only the kernel can say."""
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    return (b"/" if path.startswith(b"/") else b"") + b"/".join(parts)


def _usable(path: bytes) -> bool:
    parts = path[1:].split(b"/")
    whole = all(names.is_component(part) or part == b".." for part in parts)
    return path.startswith(b"/") and len(path) < names.PATH_MAX and whole and parts[-1] != b".."


def _meta(tree: Tree) -> tuple[Meta | None, int | None]:
    """What AXL recorded at dispatch of a source: its metadata, and when it was last changed."""
    size = kvtree.number(tree, b"SIZE", 0, _TIME_MAX - 1)
    if size is None:
        return None, None
    meta = Meta(
        size,
        _needed(tree, b"UID", 0, 2**32 - 2),
        _needed(tree, b"GID", 0, 2**32 - 2),
        _needed(tree, b"MODE", 0, 2**32 - 1) & 0o7777,
        _time_ns(tree, b"ATIME"),
        _time_ns(tree, b"MTIME"),
    )
    return meta, _time_ns(tree, b"CTIME") if b"CTIME_SECS" in tree else None


def _time_ns(tree: Tree, key: bytes) -> int:
    seconds = _needed(tree, key + b"_SECS", -_TIME_MAX, _U64 - 1)
    if seconds >= _TIME_MAX:
        seconds -= _U64  # before 1970
    time_ns = seconds * 10**9 + _needed(tree, key + b"_NSECS", 0, 10**9 - 1)
    if not -_TIME_MAX <= time_ns < _TIME_MAX:
        raise ValueError(f"{key.decode()}_SECS is {seconds}, out of range")
    return time_ns


def _needed(tree: Tree, key: bytes, low: int, high: int) -> int:
    value = kvtree.number(tree, key, low, high)
    if value is None:
        raise ValueError(f"{key.decode()} is missing")
    return value
