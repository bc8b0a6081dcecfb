"""Power cuts: what a real file system shows after its device stopped between two operations."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

from tests.crash import laws, trees
from tests.crash.blockdev import Disk
from tests.crash.forkserver import Job
from tests.crash.shim import EVERY, Action, Injection, Kind
from tests.crash.sweep import Finding, Rig, chosen
from tests.crash.trees import Tree

_EACH = Injection(Action.ASK, EVERY, mask=Kind.CHANGE | Kind.SYNC)
_PATIENCE_S = 30.0


def _cut_at_each(rig: Rig, disk: Disk, directory: Path) -> Iterator[tuple[str, Path]]:
    """Run the rig's program; before each of its operations, and at its end, cut a copy."""
    job = Job(rig.scene.target, rig.scene.arguments(rig.root), rig.who)
    rig.shim.arm(rig.root, _EACH)
    with rig.shim.questions() as questions:
        rig.server.start(job)
        waiting = [questions.fileno(), rig.server.events_fd]
        while True:
            ready = select.select(waiting, [], [], _PATIENCE_S)[0]
            if questions.fileno() not in ready:
                break
            asked = questions.take()
            name = f"before {asked.sequence}, {asked.name} {os.fsdecode(asked.path)}"
            yield name, disk.cut(directory / f"{asked.sequence}.img")
            questions.answer()
        rig.server.event()
    yield "at the end", disk.cut(directory / "end.img")


def judged(
    rig: Rig, disk: Disk, directory: Path, *, unsynced: bool, budget: int | None
) -> Iterator[Finding]:
    """Cut the power at each operation (or `budget` of them), mount what is left, recover.

    The rig's root is on `disk`, which is not mounted. `unsynced`: what the backend wrote
    was not synced before the finalizer came.
    """
    disk.make()
    with disk.mounted():
        before = _laid(rig, unsynced=unsynced)
        cuts = list(_cut_at_each(rig, disk, directory))
    kept = dict(chosen(cuts, budget))
    for when, image in cuts:
        if when in kept:
            with disk.mounted(image):
                found = tuple(_judge(rig, before))
            yield Finding((), True, f"{disk.system.name}, {when}", found)
        image.unlink()


def _laid(rig: Rig, *, unsynced: bool) -> Tree:
    rig.scene.lay(rig.root)
    temps = [rig.root / os.fsdecode(one.temp) for one in rig.scene.promises if one.temp]
    late = {path: path.read_bytes() for path in temps if unsynced and path.is_file()}
    before = trees.look(rig.root)
    for path in late:
        _rewritten(path, None)
    os.sync()
    for path, content in late.items():
        _rewritten(path, content)
    return before


def _rewritten(path: Path, content: bytes | None) -> None:
    """Other bytes (None: none), and all else as it was.

    Written without O_TRUNC: ext4 writes a truncated file out when it is closed.
    """
    info = path.lstat()
    if content is None:
        os.truncate(path, 0)
    else:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, content)
        os.close(fd)
    os.chmod(path, info.st_mode & 0o7777)  # a write strips setuid
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def _judge(rig: Rig, before: Tree) -> Iterator[str]:
    now = trees.look(rig.root)
    found = laws.violations(rig.scene, before, now)
    if any(_is_short(now, before, one.temp) for one in rig.scene.promises):
        # Never durable, so not the finalizer's loss; but it must not have got its name.
        yield from (text for text in found if not text.startswith("law 2: the data"))
        return
    yield from found
    yield from rig.recover()


def _is_short(now: Tree, before: Tree, temp: bytes) -> bool:
    whole, there = before.get(temp), now.get(temp)
    return whole is not None and there is not None and there.content != whole.content
