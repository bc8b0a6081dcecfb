"""One STATEDIR with every kind of entry, its destinations in a directory of the attacker's."""

import stat
from pathlib import Path

import xxhash
from msgspec.structs import replace

from poststage.model import Kind
from tests.attack import victim
from tests.attack.victim import ATTACKER
from tests.crash import trees
from tests.crash.finalize_scene import FinalizeScene, Part, entry_of, temp_path
from tests.crash.trees import Node

MINE = (ATTACKER, ATTACKER)
ROOT = (0, 0)


def _new(content: bytes = b"the job's output " * 5, *, mode: int = 0o640) -> Node:
    return trees.file(content, mode=mode, uid=ATTACKER, gid=ATTACKER, mtime_ns=1234567890123456789)


def _temp(new: Node, by: tuple[int, int]) -> Node:
    return replace(new, mode=0o600, uid=by[0], gid=by[1], mtime_ns=3 * 10**9)


def everything(site: Path, *, trusted: bool) -> FinalizeScene:
    """Root runs over the attacker's STATEDIR; `trusted`: over its own, which only it can write."""
    by = ROOT if trusted else MINE
    new = _new()
    link = replace(_new(b"one", mode=0o777), kind=stat.S_IFLNK)
    made = trees.directory(mode=0o750, uid=ATTACKER, gid=ATTACKER)
    digest = f"xxh3_128:{xxhash.xxh3_128(new.content).hexdigest()}"
    proof = digest if trusted else None  # root asks for one, where others can put what is root's
    entries = (
        entry_of(new, b"home/out/one", 0, checksum=proof),
        entry_of(new, b"home/out/two", 1, prior=True, checksum=proof),
        entry_of(new, b"home/out/failed", 2),
        entry_of(made, b"home/out/sub", 3, kind=Kind.DIRECTORY),
        entry_of(new, b"home/out/sub/checked", 4, checksum=digest),
        entry_of(new, b"home/out/other", 5, kind=Kind.LINK, link_to=0),
        entry_of(link, b"home/out/sym", 6, kind=Kind.SYMLINK),
        entry_of(new, b"home/out/taken", 7, checksum=proof),
        entry_of(new, b"home/out/unproven", 8),
    )
    home = trees.directory(uid=ATTACKER, gid=ATTACKER)
    state = trees.directory(uid=by[0], gid=by[1])
    tree = {
        b"": trees.directory() if trusted else home,
        b"state": state,
        b"state/d": state,
        b"home": home,
        b"home/out": home,
        b"home/out/sub": home,
        b"home/out/two": trees.file(b"old", mode=0o600, uid=ATTACKER, gid=ATTACKER),
        b"home/out/taken": trees.file(b"other", mode=0o600, uid=ATTACKER, gid=ATTACKER),
    }
    tree |= victim.theirs()
    for index in (0, 1, 2, 4, 7, 8):
        tree[temp_path(entries[index])] = _temp(new, by)
    answers = dict.fromkeys((0, 1, 4, 7, 8), "FULLSUCCESS") | {2: "FAILED"}
    part = Part(0, entries, "PARTIALSUCCESS", answers)
    name = "trusted" if trusted else "owner's"
    return FinalizeScene(name, (), tree, (part,), site, by, done_status=77 if trusted else 3)
