"""Every state that a crash may leave, given what was synced when: enumerated and judged.

In the manner of ALICE (Pillai et al., OSDI 2014), over the model of disk.py.
"""

import itertools
import os
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from math import prod

from msgspec.structs import replace

from poststage.durable import journal
from tests.crash import laws, trees
from tests.crash.disk import Disk, Op, Part, Sync, disk_of, history, written
from tests.crash.sweep import Finding, Rig, chosen
from tests.crash.trees import Tree

EXHAUSTIVE = 1024  # combinations of pending operations at one instant: all of ten names


def states(
    disk: Disk, steps: Sequence[Op | Sync], *, most: int = EXHAUSTIVE, seed: int = 1
) -> Iterator[tuple[str, Disk]]:
    """Each different state that a crash at any instant may leave, and how it came about.

    Instants with more than `most` combinations are sampled: nothing, all, all but one, only
    one, and combinations drawn by `seed`.
    """
    drawn = random.Random(seed)
    sure, pending = disk.copy(), list[Op]()
    seen: set[int] = set()
    for number, step in enumerate(steps):
        if isinstance(step, Op):
            _begun(sure, pending, step)
            continue
        yield from _distinct(sure, pending, seen, most, drawn, f"before sync {number}")
        pending = _synced(sure, pending, step)
    yield from _distinct(sure, pending, seen, most, drawn, "at the end")


def durable(disk: Disk, steps: Sequence[Op | Sync]) -> Disk:
    """What a crash at the end cannot take any more."""
    sure, pending = disk.copy(), list[Op]()
    for step in steps:
        if isinstance(step, Op):
            _begun(sure, pending, step)
        else:
            pending = _synced(sure, pending, step)
    return sure


def _begun(sure: Disk, pending: list[Op], op: Op) -> None:
    """`op` is pending; an inode that it makes can be synced before its name is."""
    op.change(sure, Part.NONE)
    pending.append(op)


def _distinct(
    durable: Disk,
    pending: Sequence[Op],
    seen: set[int],
    most: int,
    drawn: random.Random,
    when: str,
) -> Iterator[tuple[str, Disk]]:
    for parts in _combinations(pending, most, drawn):
        disk = durable.copy()
        for op, part in zip(pending, parts, strict=True):
            op.change(disk, part)
        key = hash(repr(sorted(disk.tree().items())))
        if key not in seen:
            seen.add(key)
            kept = [f"{op.text} ({part.value})" for op, part in zip(pending, parts, strict=True)]
            yield f"{when}: " + "; ".join(kept), disk


def _combinations(
    pending: Sequence[Op], most: int, drawn: random.Random
) -> Iterator[tuple[Part, ...]]:
    """Which part of each pending operation has reached the disk; the ends of time included.

    Every prefix is among the combinations, so instants between two syncs need no loop.
    """
    choices = [op.parts for op in pending]
    if prod(map(len, choices)) <= most:
        yield from itertools.product(*choices)
        return
    count = len(pending)
    nothing, everything = (Part.NONE,) * count, (Part.ALL,) * count
    yield from (nothing, everything)
    for at in range(count):
        yield everything[:at] + nothing[at:]
        for part in choices[at]:
            yield (*everything[:at], part, *everything[at + 1 :])
            yield (*nothing[:at], part, *nothing[at + 1 :])
    for _ in range(most):
        yield tuple(drawn.choice(parts) for parts in choices)


def _synced(durable: Disk, pending: Sequence[Op], sync: Sync) -> list[Op]:
    """Apply to `durable` what `sync` covers, in order; what is still pending.

    What is applied late, after something newer was made durable, keeps the newer: an
    operation on the same inode or name that was synced before cannot be undone by an older.
    """
    left = []
    for op in pending:
        rest = tuple(name for name in op.directories if name != sync.name)
        everything = sync.inode == 0
        if everything or (op.inode and op.inode == sync.inode) or (op.directories and not rest):
            op.change(durable, Part.ALL)
        else:
            left.append(replace(op, directories=rest) if op.directories else op)
    return left


def judged(rig: Rig, *, budget: int | None = None, unsynced: bool = False) -> Iterator[Finding]:
    """Materialise each state (or `budget` of them) of the rig's run, judge it, recover from it.

    `unsynced`: the backend has not synced what it wrote, so its bytes are pending too.
    """
    root = os.fsencode(rig.root)
    owner = rig.before[b""]
    steps = history(rig.calls, root, (owner.uid, owner.gid))
    disk = disk_of(rig.before)
    if unsynced:
        steps = [*_unsynced(rig, disk), *steps]
    for how, state in chosen(states(disk, steps), budget):
        found = _judge(rig, state)
        yield Finding((), True, how, tuple(found))


def _judge(rig: Rig, state: Disk) -> list[str]:
    found = laws.violations(rig.scene, rig.before, state.tree())
    if _is_short(rig, state):
        # The backend's bytes were never durable: that is not the finalizer's loss, but it
        # must not have given them a name.
        return [text for text in found if not text.startswith("law 2: the data")]
    trees.lay(rig.root, state.tree())
    _renumber(rig, state.tree())
    return found + list(rig.recover())


def _unsynced(rig: Rig, disk: Disk) -> list[Op]:
    """Take the temp files' bytes off the disk; the operations that would bring them."""
    found = []
    for promise in rig.scene.promises:
        node = rig.before.get(promise.temp)
        if node is None or not node.content or promise.temp == promise.destination:
            continue
        disk.inodes[node.ino] = replace(node, content=b"")
        found.append(written(node.ino, node.content, f"write {os.fsdecode(promise.temp)}"))
    return found


def _is_short(rig: Rig, state: Disk) -> bool:
    inodes = (rig.before[one.temp] for one in rig.scene.promises if one.temp in rig.before)
    return any(state.inodes[node.ino].content != node.content for node in inodes)


def _renumber(rig: Rig, model: Tree) -> None:
    """Write the inode numbers of the laid files into the state files that recorded others."""
    laid = trees.look(rig.root)
    numbers = {b"%d" % node.ino: b"%d" % laid[name].ino for name, node in model.items()}
    for name, node in laid.items():
        if name.endswith((b".state", b".done")):
            content = b"\n".join(_line(line, numbers) for line in node.content.split(b"\n"))
            if content != node.content:
                (rig.root / os.fsdecode(name)).write_bytes(content)


def _line(line: bytes, numbers: dict[bytes, bytes]) -> bytes:
    payload = line[9:]
    if line[:9] != b"%08x " % zlib.crc32(payload):  # torn
        return line
    changed = re.sub(rb'(?<="ino":)\d+', lambda m: numbers.get(m[0], m[0]), payload)
    return journal.frame(changed)[:-1]
