"""finalize where each operation takes 1 ms, as on a busy parallel file system: many in flight."""

import statistics
from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from bench import trees
from bench.context import Bench
from bench.measure import Row, paired, program, run
from bench.places import no_slow, slow
from bench.scene import Scene
from bench.trees import Shape

FAMILY = "slow file system"
DELAY_S = 0.001
_MANY = 64  # jobs, at which it is to be within 10 % of C and 30 times as fast as one
_TIMES = 30
_WHAT = "FUSE, 1 ms an operation"


def rows(bench: Bench) -> Iterator[Row]:
    """More and more jobs, each with as much to do; at last finalize chooses by itself."""
    if reason := no_slow():
        yield Row(FAMILY, _WHAT, note=reason)
        return
    alone = 0.0
    for jobs, ranks in [*bench.sizes.slow_ranks, (0, bench.sizes.slow_ranks[-1][1])]:
        row = _row(bench, jobs, ranks, bench.sizes.slow_files)
        alone = alone or _rate(row)
        yield replace(row, note=_told(row, _rate(row) / alone))
    row = _row(bench, *bench.sizes.slow_alone)
    yield replace(row, series="", note=f"{_rate(row):,.0f} files/s: few files a state file")


def _rate(row: Row) -> float:
    return row.files / statistics.median(row.ours)


def _told(row: Row, times: float) -> str:
    goal = f" (goal {_TIMES}: {'met' if times >= _TIMES else 'missed'})" * (row.jobs == _MANY)
    return f"{_rate(row):,.0f} files/s, {times:.1f} × one job{goal}"


def _row(bench: Bench, jobs: int, ranks: int, files: int) -> Row:
    shape = Shape(ranks, files, size=0)
    below = (bench.memory or bench.disk).path
    runs = min(bench.sizes.runs, 3)
    with slow(below, delay_s=DELAY_S) as (point, fs):
        scene = Scene(fs.source / "job", shape, seen=point / "job")
        words = [str(program("finalize")), "--dir", str(trees.state_dir(scene.seen)), "--json"]
        words += ["--jobs", str(jobs)] if jobs else []
        ours, floor = paired(
            runs,
            lambda: scene.timed(lambda: run(words, bench.env)),
            partial(scene.timed, lambda: run(scene.floor(bench, jobs))) if jobs else None,
        )
    name = f"{jobs} job" + ("s" if jobs > 1 else "") if jobs else "jobs as it chooses"
    return Row(
        FAMILY,
        f"{ranks:,} × {shape.files} on {_WHAT}, {name}",
        ours,
        floor,
        floor_is=f"C, {jobs} thread{'s' * (jobs > 1)}" if floor else "",
        goal=1.1 if jobs == _MANY else 0.0,
        ranks=ranks,
        files=ranks * shape.files,
        jobs=jobs,
        series="" if not jobs else "finalize --jobs",
    )
