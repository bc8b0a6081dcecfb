"""finalize on a local file system: against programs that make the necessary calls alone.

In C, and where it matters most in Python too: what Python's calls cost is nobody's fault.
"""

from collections.abc import Iterator
from functools import partial

from bench import trees
from bench.context import Bench
from bench.measure import Row, Side, paired, program, run
from bench.places import Place
from bench.scene import Scene
from bench.trees import Shape

FAMILY = "finalize"
_JOBS = (1, 2)
_GOALS = {1: 1.5, 2: 1.0}  # × the C program's one thread, at the size of a whole machine
_MACHINE = 16_384


def rows(bench: Bench) -> Iterator[Row]:
    """A job of growing size on each local file system; then one very large state file."""
    *often, once = bench.sizes.ranks
    for place in bench.places:
        for ranks in often:
            shape, last = Shape(ranks, bench.sizes.files), ranks == often[-1]
            yield from _rows(bench, place, shape, bench.sizes.runs, bare=last)
    yield from _rows(bench, bench.fresh, Shape(once, bench.sizes.files, size=0), 1)
    yield from _rows(bench, bench.fresh, Shape(1, bench.sizes.one_state_files, size=0), 1)


def _rows(
    bench: Bench, place: Place, shape: Shape, runs: int, *, bare: bool = False
) -> Iterator[Row]:
    """A row for each number of processes: what is held against one floor ran beside it."""
    scene = Scene(place.path / f"{shape.ranks}x{shape.files}", shape)
    jobs = _JOBS if shape.ranks > 1 else _JOBS[:1]
    sides = [_ours(bench, scene, count) for count in jobs]
    floor = partial(scene.timed, lambda: run(scene.floor(bench))) if bench.floor else None
    python = partial(scene.timed, lambda: run(scene.bare())) if bare else None
    *ours, floors, pythons = paired(runs, *sides, floor, python)
    for count, seconds in zip(jobs, ours, strict=True):
        processes = f"{count} process" + ("es" if count > 1 else "")
        yield Row(
            FAMILY,
            f"{shape.ranks:,} × {shape.files:,} on {place.kind}, {processes}",
            seconds,
            floors,
            floor_is="C, 1 thread" if floors else "",
            peer=pythons if count == 1 else (),
            peer_is="the same from Python" if pythons and count == 1 else "",
            goal=_GOALS[count] if shape.ranks == _MACHINE else 0.0,
            note=f"peak {scene.peak_mib:.0f} MiB" if count == 1 else "",
            ranks=shape.ranks,
            files=shape.ranks * shape.files,
            jobs=count,
            series=f"{place.kind}, {processes}",
        )


def _ours(bench: Bench, scene: Scene, jobs: int) -> Side:
    where = trees.state_dir(scene.seen)
    words = [str(program("finalize")), "--dir", str(where), "--jobs", str(jobs), "--json"]
    return lambda: scene.timed(lambda: run(words, bench.env), watched=jobs == 1)
