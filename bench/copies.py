"""The copy engine, as the daemon runs it: against cp and rsync, each as durable at its end."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

from msgspec import Struct

from bench.context import Bench
from bench.measure import Row, Side, once, paired, run, timed
from bench.places import Place, fresh, no_loop
from poststage import names
from poststage.agent import items
from poststage.agent.observe import observe
from poststage.copier.manners import Plain
from poststage.copier.queue import Queue
from poststage.copier.records import EventRecord, ItemRecord
from poststage.copier.workers import Workers
from poststage.model import TransferState

FAMILY = "copies"
_THREADS = 2  # the daemon's own default
_PROVE_BYTES = 1 << 30
_DEADLINE_S = 600.0
_DATA = 1 << 16  # bytes of a file that is nearly all holes
_COMPARED = 64 << 20  # bytes of contents, of each copy


class Load(Struct, frozen=True):
    """Some files of one size."""

    files: int
    size: int
    holes: bool = False
    """Whether nothing is in them but a little at their ends."""

    def __str__(self) -> str:
        size = next(
            f"{self.size >> shift:,} {unit}"
            for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0))
            if not self.size or self.size >> shift
        )
        return f"{self.files:,} × {size}" + (", nearly all holes" if self.holes else "")


def rows(bench: Bench) -> Iterator[Row]:
    """Large, medium and small files between local file systems; then XFS with reflinks."""
    sizes = bench.sizes
    loads = (
        Load(1, sizes.large_bytes),
        Load(sizes.medium_files, 1 << 20),
        Load(sizes.small_files, 4096),
    )
    for load in loads:
        disk = bench.fresh if load.size < 1 << 20 else bench.disk
        for source in filter(None, (bench.memory, disk)):
            yield from _rows(bench, load, source, disk)
    yield from _rows(bench, Load(1, sizes.large_bytes, holes=True), bench.disk, bench.disk)
    yield _checksum(bench, Load(1, sizes.large_bytes // 4))
    if reason := no_loop("xfs"):
        yield Row(FAMILY, "XFS with reflinks", note=reason)
    else:
        with fresh(bench.disk.path, "xfs") as there:
            for load in loads:
                yield from _rows(bench, load, there, there)
    yield Row(FAMILY, "dcp of mpiFileUtils", note=shutil.which("dcp") or "no dcp on this machine")


def _rows(bench: Bench, load: Load, source: Place, target: Place) -> Iterator[Row]:
    scene = _Scene(load, source, target)
    try:
        rsync = None if _no_rsync(load) else scene.side(_rsync)
        ours, floor = paired(bench.sizes.runs, scene.side(_ours), scene.side(_cp))
        peer = once(rsync)
    finally:
        scene.close()
    yield Row(
        FAMILY,
        f"{load}, {source.kind} to {target.kind}",
        ours,
        floor,
        peer,
        floor_is="cp -a, syncfs",
        peer_is="rsync -a, syncfs" if rsync else "",
        goal=_goal(load, source, target),
        note=_no_rsync(load),
        files=load.files,
    )


def _no_rsync(load: Load) -> str:
    """Why rsync is not measured; "" if it is."""
    if load.holes:
        return "rsync -a fills holes"
    return "" if shutil.which("rsync") else "no rsync on this machine"


def _goal(load: Load, source: Place, target: Place) -> float:
    """× cp: 0.95 of its speed with one large file, faster with small ones.

    Sharing all extents of a file is one call for either.
    """
    if load.holes or "xfs" in (source.kind, target.kind):
        return 0.0
    return {1: 1 / 0.95}.get(load.files, 1.0 if load.size < 1 << 20 else 0.0)


def _checksum(bench: Bench, load: Load) -> Row:
    """What a checksum adds to recording and copying together."""
    scene = _Scene(load, bench.disk, bench.disk)

    def side(*, checksum: bool) -> Side:
        def record_and_copy(source: Path, to: Path) -> None:
            for name in _listed(source):
                item = items.item_of(bytes(source / name), bytes(to / name))
                assert (observe(item, checksum=checksum).checksum is not None) is checksum
            _ours(source, to)

        return scene.side(record_and_copy)

    try:
        ours, floor = paired(bench.sizes.runs, side(checksum=True), side(checksum=False))
    finally:
        scene.close()
    name = f"{load}, recorded with xxh3 and copied, {bench.disk.kind}"
    return Row(FAMILY, name, ours, floor, floor_is="the same without", goal=1.1)


Copy = Callable[[Path, Path], None]


class _Scene:
    """Sources, and a new directory for each copy of them.

    Many small copies stay until the end: ext4 is slow to make files where many were deleted.
    """

    def __init__(self, load: Load, source: Place, target: Place) -> None:
        self.load = load
        self.source = source.path / f"from-{load.files}-{load.size}-{load.holes}"
        self.targets = target.path / "to"
        self._number = count()
        _lay(self.source, load)
        self.targets.mkdir()

    def side(self, copy: Copy) -> Side:
        """`copy` into a directory of its own."""
        return partial(self._timed, copy)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.source)
        shutil.rmtree(self.targets)

    def _timed(self, copy: Copy) -> float:
        to = self.targets / str(next(self._number))
        to.mkdir()
        os.sync()
        seconds = timed(lambda: copy(self.source, to))
        _require_same(self.source, to, self.load)
        if self.load.files < 100:
            shutil.rmtree(to)
        return seconds


def _lay(top: Path, load: Load) -> None:
    top.mkdir()
    block = os.urandom(min(load.size, _DATA if load.holes else 1 << 20))
    for index in range(load.files):
        with open(top / str(index), "wb") as file:
            file.write(b"%d" % index + block[8:])
            for _ in range(0 if load.holes else load.size // (1 << 20) - 1):
                file.write(block)
            file.truncate(load.size)
    os.sync()


def _ours(source: Path, to: Path) -> None:
    """What the daemon does from the start of a transfer to its durable end."""
    home = to.parent / f"queue-{to.name}"
    home.mkdir()
    queue_fd = os.open(home, os.O_RDONLY)
    book = Queue(queue_fd, "0000bbbb").open("bench")
    items = [_item(index, source / name, to / name) for index, name in enumerate(_listed(source))]
    workers = Workers(Plain(), threads=_THREADS, prove_bytes=_PROVE_BYTES)
    workers.begin()
    with book.changed:
        book.put(*items, EventRecord("started", 1, len(items)))
        book.sync()
        workers.enqueue(book)
        assert book.changed.wait_for(lambda: book.transfer.end is not None, _DEADLINE_S)
    assert book.transfer.end is TransferState.FULLSUCCESS
    workers.stop([book], timeout_s=_DEADLINE_S)
    os.close(queue_fd)


def _item(index: int, source: Path, target: Path) -> ItemRecord:
    info = source.stat()
    text = names.to_text
    return ItemRecord(
        index, text(bytes(source)), text(bytes(target)), info.st_size, info.st_mtime_ns
    )


def _cp(source: Path, to: Path) -> None:
    run(["cp", "-a", f"{source}/.", to])
    _sync(to)


def _rsync(source: Path, to: Path) -> None:
    run(["rsync", "-a", f"{source}/", f"{to}/"])
    _sync(to)


def _sync(to: Path) -> None:
    subprocess.run(["sync", "-f", to], check=True)


def _listed(source: Path) -> list[str]:
    return sorted(os.listdir(source), key=int)


def _require_same(source: Path, to: Path, load: Load) -> None:
    """AssertionError unless each copy has its size, and those that are looked into its contents."""
    listed = _listed(source)
    assert len(listed) == load.files
    assert sorted(os.listdir(to), key=int) == listed
    blocks = 0
    for name in listed:
        blocks += (to / name).stat().st_blocks
        assert (to / name).stat().st_size == load.size
    left = _COMPARED
    for name in listed[:: max(1, load.files * load.size // _COMPARED)]:
        with open(source / name, "rb") as one, open(to / name, "rb") as other:
            while left > 0 and (block := one.read(1 << 20)):
                left -= len(block)
                assert other.read(1 << 20) == block, name
    if load.holes:
        assert blocks * 512 < load.size // 4, "its holes were filled"
