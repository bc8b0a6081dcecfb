"""`make bench`: one table of what poststage costs, against floors and peers.

usage: python -m bench [--quick] [--only FAMILY ...] [--runs N] [--on DIRECTORY] [--draw]

Everything at full size, docs/performance.md and its plots are made anew. With --quick
everything small: it fails on wrong results, never on a time. --draw makes the page from the last
full run again.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from bench import agent, copies, finalize, kept, mpi, profile, reader, slow, startup, table
from bench.context import Bench, bench_of
from bench.measure import Row
from bench.places import fresh_or, place
from bench.sizes import FULL, QUICK

FAMILIES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    module.FAMILY: module.rows for module in (startup, finalize, slow, mpi, agent, copies, reader)
}


def main() -> None:
    arguments = _parsed()
    for number in (signal.SIGTERM, signal.SIGINT):  # what is mounted is unmounted, too
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    if arguments.draw:
        kept.draw(kept.read())
        return
    sizes = QUICK if arguments.quick else FULL
    if arguments.runs:
        sizes = replace(sizes, runs=arguments.runs)
    with ExitStack() as stack:
        scratch = stack.enter_context(place(Path(tempfile.gettempdir())))
        disk = stack.enter_context(place(arguments.on))
        memory = stack.enter_context(place(Path("/dev/shm"))) if _has_memory() else None
        fresh = stack.enter_context(fresh_or(arguments.on, "ext4"))
        bench = bench_of(sizes, scratch.path, memory, disk, fresh)
        machine = table.machine([*bench.places, disk])
        rows = list(_told(bench, arguments.only or list(FAMILIES)))
        profiled = "" if arguments.only else profile.page(bench)
    print(f"\n{machine}\nmedian (least-most) of the paired runs; everything durable")
    if not arguments.quick and not arguments.only:
        kept.write(kept.Run(machine, tuple(rows), profiled))


def _told(bench: Bench, families: list[str]) -> Iterator[Row]:
    print(table.head())
    for family in families:
        for row in FAMILIES[family](bench):
            assert row.ours or row.note, f"{row.workload}: nothing was measured"
            if bench.sizes is not QUICK:
                print(table.line(row), flush=True)
            else:  # what is aimed at is aimed at at full size
                print(table.line(replace(row, goal=0.0)), flush=True)
            yield row


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES))
    parser.add_argument("--runs", type=int)
    parser.add_argument("--on", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--draw", action="store_true")
    return parser.parse_args()


def _has_memory() -> bool:
    return os.access("/dev/shm", os.W_OK)


if __name__ == "__main__":
    main()
