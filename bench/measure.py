"""What is measured, and how: runs of two or three sides in turn, each from a fresh state."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

REPOSITORY = Path(__file__).resolve().parent.parent

Side = Callable[[], float]
"""One run, from a fresh state, its result checked; seconds of what is measured."""


class Row(Struct, frozen=True):
    """One workload: the seconds of each run of each side, in the order of the runs."""

    family: str
    workload: str
    ours: tuple[float, ...] = ()
    floor: tuple[float, ...] = ()
    """What cannot be avoided: a program that makes the necessary calls and no others."""
    peer: tuple[float, ...] = ()
    floor_is: str = ""
    peer_is: str = ""
    goal: float = 0.0
    """The ratio to the floor (to the peer where there is no floor) that is aimed at; 0 for none."""
    note: str = ""
    """What else is to be known, or why a side was not measured."""
    ranks: int = 0
    files: int = 0
    """How many of them one run works on; with `jobs` and `series` the place in a plot."""
    jobs: int = 0
    series: str = ""

    def ratio(self, other: Sequence[float]) -> float | None:
        """The median of ours / `other` over the paired runs; None where there are none."""
        pairs = zip(self.ours, other, strict=False)
        found = [mine / theirs for mine, theirs in pairs if theirs]
        return statistics.median(found) if found else None


def paired(runs: int, ours: Side, *others: Side | None) -> list[tuple[float, ...]]:
    """The seconds of each side over `runs` runs in turn: what disturbs one disturbs all.

    Each round begins with another side, so that none is always the first.
    """
    sides = [ours, *others]
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(runs):
        for place in range(len(sides)):
            index = (number + place) % len(sides)
            side = sides[index]
            if side is not None:
                seconds[index].append(side())
    return [tuple(one) for one in seconds]


def once(side: Side | None) -> tuple[float, ...]:
    """One run of a side that is only there to be known."""
    return () if side is None else (side(),)


class Ended(Struct, frozen=True):
    """A command that has ended well."""

    seconds: float
    peak_mib: float
    """Resident memory of the largest of its processes."""
    out: str


def run(words: Iterable[str | Path], env: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end. Raises CalledProcessError with what it said."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(words), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=REPOSITORY
    )
    assert process.stdout is not None
    out = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        print(out, file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, [str(word) for word in words])
    return Ended(seconds, usage.ru_maxrss / 1024, out)


def timed(action: Callable[[], object]) -> float:
    """Seconds of `action`, in this process."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def program(name: str) -> Path:
    """A program of the environment that runs the bench."""
    return Path(sys.executable).with_name(name)
