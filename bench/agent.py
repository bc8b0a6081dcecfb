"""What an application pays: record and hand over, each rank; and one state file for many ranks."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from bench.context import Bench
from bench.measure import REPOSITORY, Row, paired, program, run, timed
from bench.places import Place
from bench.taken import BACKEND
from poststage import config
from poststage.agent.agent import Agent
from poststage.backends.base import Context
from poststage.statefile import read_state

FAMILY = "agent"
_FILES = 4  # of each rank


def rows(bench: Bench) -> Iterator[Row]:
    """A rank's share of the application's time, on each file system; then real ranks."""
    for place in bench.places:
        yield _recording(bench, place)
    for scope in ("rank", "node", "job"):
        yield _scope(bench, scope)


def _recording(bench: Bench, place: Place) -> Row:
    """Ranks one after the other: the time of one is the whole divided by their number."""
    top, many = place.path, bench.sizes.agent_transfers
    sources = [top / f"source{index}" for index in range(_FILES)]
    for source in sources:
        source.write_bytes(b"x" * 4096)
    number = count()
    ours, floor = paired(
        bench.sizes.runs,
        lambda: _ours(top / f"job{next(number)}", sources, many) / many,
        lambda: _floor(top / f"floor{next(number)}", many) / many,
    )
    return Row(
        FAMILY,
        f"record and hand over {_FILES} files, a rank of {many}, on {place.kind}",
        ours,
        floor,
        floor_is="write and fsync of as much",
    )


def _ours(top: Path, sources: list[Path], ranks: int) -> float:
    (top / "out").mkdir(parents=True)
    settings = config.load(env={})
    context = Context(top / "state", {})

    def rank(number: int) -> None:
        agent = Agent(top / "state", BACKEND, context, settings, number, ranks)
        with agent, agent.transfer("ts.0") as transfer:
            for index, source in enumerate(sources):
                transfer.add(source, top / "out" / f"{number}.{index}")

    seconds = timed(lambda: _each(rank, ranks))
    found = list((top / "state").rglob("*.state"))
    assert len(found) == ranks
    with open(found[0], "rb") as file:
        state = read_state(file.fileno(), bytes(found[0]))
    assert state is not None
    assert state.started
    assert len(state.entries) == _FILES
    return seconds


def _floor(top: Path, ranks: int) -> float:
    """A small file for each rank, as long as a state file, written and synced."""
    top.mkdir()
    content = b"x" * 1800

    def rank(number: int) -> None:
        fd = os.open(top / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, content)
        os.fsync(fd)
        os.close(fd)

    return timed(lambda: _each(rank, ranks))


def _each(rank: Callable[[int], None], ranks: int) -> None:
    for number in range(ranks):
        rank(number)


def _scope(bench: Bench, scope: str) -> Row:
    """`poststage out` from real ranks: the time, the state files, the largest rank's memory."""
    ranks, files = bench.sizes.scope_ranks, bench.sizes.scope_files
    what = f"mpirun -n {ranks} poststage out --scope {scope}, {files:,} files"
    mpirun = program("mpirun")
    if not mpirun.exists():
        return Row(FAMILY, what, note="no mpirun in this environment")
    top = bench.disk.path / f"scope-{scope}"
    source = top / "bb"
    for index in range(files):
        path = source / str(index % 100) / str(index)
        if index < 100:
            path.parent.mkdir(parents=True)
        path.touch()
    peaks: list[float] = []
    number = count()

    def out() -> float:
        where = top / str(next(number))
        (where / "pfs").mkdir(parents=True)
        env = _env(bench, where)
        command = [str(program("poststage")), "out", "--dataset", "ts.0", "--scope", scope]
        ended = run([mpirun, "-n", str(ranks), *command, source, where / "pfs"], env)
        peaks.append(ended.peak_mib)
        found = len(list((where / "state").rglob("*.state")))
        assert found == (ranks if scope == "rank" else 1), found
        return ended.seconds

    runs = min(bench.sizes.runs, 3)
    ours, _ = paired(runs, out, None)
    shutil.rmtree(top)
    note = f"{ranks if scope == 'rank' else 1} state files, peak {max(peaks):.0f} MiB a rank"
    return Row(FAMILY, what, ours, note=note, ranks=ranks, files=files)


def _env(bench: Bench, where: Path) -> dict[str, str]:
    """A site whose backend is `taken`: it accepts, and moves nothing."""
    info = where / "site/poststage_bench-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poststage-bench\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[poststage.backends]\ntaken = bench.taken:BACKEND\n")
    (where / "site.toml").write_text('[site]\nbackend = "taken"\nallowed_backends = ["taken"]\n')
    return bench.env | {
        "POSTSTAGE_SITE": str(where / "site.toml"),
        "POSTSTAGE_STATE_DIR": str(where / "state"),
        "PYTHONPATH": f"{info.parent}:{REPOSITORY}",
    }
