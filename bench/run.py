"""`make bench`: finalize against a C program that makes the same necessary calls.

One table: workload, ours, floor, ratio, each the median (min–max) of paired runs, on the
machine named in the last line. `--quick` runs everything small; it fails on wrong results,
never on a time.

usage: run.py [--quick] [--states N] [--runs N] [--on DIRECTORY ...]
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import trees

FILES = 4


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory() as scratch:
        env = os.environ | trees.install(Path(scratch) / "site")
        floor = built(Path(scratch))
        print(f"{'workload':34s} {'ours':>22s} {'C floor':>22s} {'ratio':>6s}")
        for place in arguments.on:
            for jobs in (1, 2):
                row(place, jobs, arguments, env, floor)
    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"median (min–max) of {arguments.runs} paired runs, seconds; durable (syncfs, fsync)")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--states", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--on", nargs="+", type=Path)
    arguments = parser.parse_args()
    arguments.states = arguments.states or (64 if arguments.quick else 4096)
    arguments.runs = arguments.runs or (1 if arguments.quick else 5)
    here = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    arguments.on = arguments.on or [path for path in here if os.access(path, os.W_OK)]
    return arguments


def built(scratch: Path) -> Path | None:
    """The floor program, or None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: without the floor")
        return None
    source = Path(__file__).with_name("floor.c")
    subprocess.run([compiler, "-O2", "-o", scratch / "floor", source], check=True)
    return scratch / "floor"


def row(
    place: Path, jobs: int, arguments: argparse.Namespace, env: dict[str, str], floor: Path | None
) -> None:
    """Measure one workload, ours and the floor in turn on equal trees, and print its line."""
    ours, floors = [], []
    top = place / f"poststage-bench-{os.getpid()}"
    try:
        for _ in range(arguments.runs):
            state_dir = str(top / "state")
            finalize = [shutil.which("finalize") or str(Path(sys.executable).with_name("finalize"))]
            finalize += ["--dir", state_dir, "--jobs", str(jobs), "--json"]
            ours.append(timed(top, finalize, arguments.states, env))
            if floor is not None:
                words = [str(floor), str(top), str(arguments.states), str(FILES)]
                words.append(str(trees.MTIME_NS))
                floors.append(timed(top, words, arguments.states, env))
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(line(place, jobs, arguments.states, ours, floors), flush=True)


def timed(top: Path, words: list[str], states: int, env: dict[str, str]) -> float:
    """Seconds of `words` over a fresh tree; its result is checked."""
    trees.make(top, states, FILES)
    start = time.perf_counter()
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    trees.check(top, states, FILES)
    return seconds


def line(place: Path, jobs: int, states: int, ours: list[float], floors: list[float]) -> str:
    processes = f"{jobs} process" + ("es" if jobs > 1 else "")
    what = f"{states}×{FILES} {filesystem(place)}, {processes}"
    if not floors:
        return f"{what:34s} {told(ours):>22s} {'-':>22s} {'-':>6s}"
    ratio = statistics.median(one / other for one, other in zip(ours, floors, strict=True))
    return f"{what:34s} {told(ours):>22s} {told(floors):>22s} {ratio:6.2f}"


def told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def filesystem(place: Path) -> str:
    words = ["stat", "-f", "-c", "%T", str(place)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
