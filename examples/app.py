"""A small MPI application that writes its output as many do, and hands it over as it goes.

Each time step T: `timestep.T.root` by rank 0, `timestep.T/data.R` by every rank R, and a few
odd ones. Each step is one dataset of as many parts as there are ranks.

usage: mpirun -n 4 python app.py BURST_BUFFER DESTINATION [--steps N] [--kill-rank R]
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from mpi4py import MPI

import poststage

MODES = (0o600, 0o644, 0o444, 0o755)
MB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("burst_buffer", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--kill-rank", type=int, default=-1, help="this rank ends by SIGKILL")
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    rank = comm.Get_rank()
    handed_over = 0.0
    with poststage.open_agent(comm=comm) as agent:
        for step in range(args.steps):
            written = write(args.burst_buffer, step, rank)
            begin = time.perf_counter()
            with agent.transfer(f"timestep.{step}") as transfer:
                for path in written:
                    transfer.add(path, args.destination / path.relative_to(args.burst_buffer))
            handed_over += time.perf_counter() - begin
    write_log(args.burst_buffer / "logs" / f"rank.{rank}.log", rank, args.steps)
    slowest = comm.reduce(handed_over, op=MPI.MAX)
    if rank == 0:
        held_up_ms = slowest / args.steps * 1000
        print(f"{args.steps} time steps written; handing one over took {held_up_ms:.0f} ms")
        sys.stdout.flush()
    comm.Barrier()
    if rank == args.kill_rank:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.Barrier()  # where the others are when the launcher ends them


def write(top: Path, step: int, rank: int) -> list[Path]:
    """This rank's files of one time step."""
    name = f"timestep.{step}"
    written = [top / name / f"data.{rank}"]
    make(written[0], 3 * MB + rank, MODES[rank % len(MODES)])
    if rank == 0:
        written += [top / f"{name}.root", top / name / "mesh" / "large"]
        make(written[1], 20_000, 0o644)
        make(written[2], 24 * MB if step == 0 else MB, 0o640)
    if rank == 1:
        written.append(top / name / "mesh" / "empty")
        make(written[1], 0, 0o600)
    return written


def make(path: Path, size: int, mode: int) -> None:
    """A file of `size` bytes with a mode and times of its own, exact to the nanosecond."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = path.name.encode().ljust(16) * 4096
    with open(path, "wb") as file:
        for offset in range(0, size, len(block)):
            file.write(block[: size - offset])
    path.chmod(mode)
    now = time.time_ns()
    os.utime(path, ns=(now, now - 123_456_789))


def write_log(path: Path, rank: int, steps: int) -> None:
    """What the job script hands over later, by command."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"rank {rank}: step {step} done\n" for step in range(steps)))


if __name__ == "__main__":
    main()
