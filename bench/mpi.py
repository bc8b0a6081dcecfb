"""finalize under mpirun: ranks share the state files out, where each operation takes 1 ms."""

import shutil
from collections.abc import Iterator

from bench import trees
from bench.context import Bench
from bench.measure import Row, Side, paired, program, run
from bench.places import no_slow, slow
from bench.scene import Scene
from bench.slow import DELAY_S
from bench.trees import Shape

FAMILY = "MPI"
_RANKS = 4
_JOBS = 8  # of each rank
_GOAL = 1 / 3.5


def rows(bench: Bench) -> Iterator[Row]:
    """Four ranks against one, each with as many jobs."""
    what = f"mpirun -n {_RANKS} finalize --jobs {_JOBS}"
    reason = no_slow() or ("" if _mpirun() else "no mpirun")
    if reason:
        yield Row(FAMILY, what, note=reason)
        return
    shape = Shape(bench.sizes.mpi_ranks, bench.sizes.slow_files, size=0)
    below = (bench.memory or bench.disk).path
    with slow(below, delay_s=DELAY_S) as (point, fs):
        scene = Scene(fs.source / "job", shape, seen=point / "job")
        runs = min(bench.sizes.runs, 3)
        ours, one = paired(runs, _side(bench, scene, _RANKS), _side(bench, scene, 1))
    name = f"{shape.ranks:,} × {shape.files} on FUSE, 1 ms an operation, {what}"
    yield Row(
        FAMILY, name, ours, peer=one, peer_is="1 rank", goal=_GOAL, files=shape.ranks * shape.files
    )


def _side(bench: Bench, scene: Scene, ranks: int) -> Side:
    words = [_mpirun(), "-n", str(ranks), str(program("finalize"))]
    words += ["--dir", str(trees.state_dir(scene.seen)), "--jobs", str(_JOBS), "--json"]
    return lambda: scene.timed(lambda: run(words, bench.env))


def _mpirun() -> str:
    own = program("mpirun")
    return str(own) if own.exists() else shutil.which("mpirun") or ""
