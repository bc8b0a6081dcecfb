"""The program of the tests' jobs: every rank writes its files and hands them over.

usage: mpirun -n 4 python program.py BURST_BUFFER DESTINATION [--size BYTES] [--linger SECONDS]
       [--orphan]

--linger: then ignore SIGTERM and go on writing into the files that were handed over.
--orphan: leave a process behind that does so, in a session of its own.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mpi4py import MPI

import poststage

WRITER = """
import os, sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for path in sys.argv[2:]:
        with open(path, "ab") as file:
            file.write(b"late")
    time.sleep(0.05)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("burst_buffer", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--size", type=int, default=300_000)
    parser.add_argument("--linger", type=float, default=0.0)
    parser.add_argument("--orphan", action="store_true")
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    written = write(args.burst_buffer / "step.0", comm.rank, args.size)
    with poststage.open_agent(comm=comm) as agent, agent.transfer("step.0") as transfer:
        for path in written:
            transfer.add(path, args.destination / path.relative_to(args.burst_buffer))
    print(f"rank {comm.rank} of {comm.size} handed over", flush=True)
    if args.orphan and comm.rank == 0:
        words = [sys.executable, "-c", WRITER, "8", *map(str, written)]
        subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
    if args.linger:
        linger(written, args.linger)


def write(top: Path, rank: int, size: int) -> list[Path]:
    """Files of this rank with modes and times of their own."""
    paths = [top / f"data.{rank}", top / "deep" / f"log.{rank}"]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of an earlier run of the job, and perhaps read-only
        path.write_bytes(f"{path.name} ".encode() * (size // (8 + 8 * number)))
        path.chmod((0o600, 0o644, 0o444, 0o755)[rank % 4])
        os.utime(path, ns=(10**18 + rank, 10**18 + 123_456_789 + number))
    return paths


def linger(paths: list[Path], seconds: float) -> None:
    """Ignore the request to end, and go on writing."""
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in paths:
            with open(path, "ab") as file:
                file.write(b"late")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
