"""Where finalize's time goes: its system calls, counted, and its Python, by the function."""

import cProfile
import pstats
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import trees
from bench.context import Bench
from bench.measure import REPOSITORY, program, run
from bench.trees import Shape
from poststage import config
from poststage.finalize import finalize_dir, options_of
from poststage.simulate.run import simulated

_RANKS = 1024
_FUNCTIONS = 15


def page(bench: Bench) -> str:
    """Both profiles, as they stand in docs/performance.md."""
    shape = Shape(min(_RANKS, bench.sizes.ranks[-1]), bench.sizes.files)
    place = bench.memory or bench.disk
    top = place.path / "profile"
    top.mkdir()
    trees.lay(top, shape)
    files = shape.ranks * shape.files
    what = f"{shape.ranks:,} × {shape.files} on {place.kind}, one process"
    lines = [f"System calls of {what}, by `strace -f -c`:\n", *_calls(bench, top, files)]
    trees.require_done(top, shape)
    trees.set_back(top, shape)
    lines += [f"\nPython of {what}, by cProfile, which slows calls down:\n", *_python(top, files)]
    trees.require_done(top, shape)
    shutil.rmtree(top)
    return "\n".join(lines) + "\n"


def _calls(bench: Bench, top: Path, files: int) -> Iterator[str]:
    words = [str(program("finalize")), "--dir", str(trees.state_dir(top)), "--jobs", "1"]
    if shutil.which("strace") is None:
        run(words, bench.env)
        yield "strace is not on this machine."
        return
    counted = bench.scratch / "strace"
    run(["strace", "-f", "-c", "-S", "calls", "-o", str(counted), *words], bench.env)
    yield "| call | in all | a file |\n|---|---|---|"
    for line in counted.read_text().splitlines():
        cells = line.split()
        if len(cells) >= 5 and cells[3].isdigit() and cells[-1] != "total":
            calls = int(cells[3])
            if calls * 20 >= files:
                yield f"| {cells[-1]} | {calls:,} | {calls / files:.2f} |"


def _python(top: Path, files: int) -> Iterator[str]:
    profile = cProfile.Profile()
    options = options_of(simulated(config.load(env={})), jobs=1)
    profile.runcall(finalize_dir, trees.state_dir(top), options)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined] # it is there since ever
    yield "| function | calls a file | µs a file in it alone |\n|---|---|---|"
    for place, (_, calls, own, _, _) in sorted(stats.items(), key=lambda one: -one[1][2])[
        :_FUNCTIONS
    ]:
        yield f"| `{_name(place)}` | {calls / files:.2f} | {own / files * 1e6:.2f} |"


def _name(place: tuple[str, int, str]) -> str:
    file, _, function = place
    path = Path(file)
    if path.is_relative_to(REPOSITORY):
        return f"{path.relative_to(REPOSITORY)}: {function}"
    return function.strip("<>") if file == "~" else f"{path.name}: {function}"
