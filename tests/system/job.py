"""A job of MPI ranks for the system tests: writes files, says what it will hand over, hands over.

Before each dispatch a rank leaves EXPECTED/DATASET.RANK, one line a file, that says what must
stand at the destination in the end; its own pid is in PIDS/RANK.

usage: job.py BURST_BUFFER DESTINATION EXPECTED PIDS DATASETS SEED
"""

import json
import os
import random
import sys
from pathlib import Path

from mpi4py import MPI

import poststage

MODES = (0o600, 0o644, 0o444, 0o755, 0o640)


def main() -> None:
    buffer, destination, expected, pids = (Path(arg) for arg in sys.argv[1:5])
    datasets, seed = int(sys.argv[5]), int(sys.argv[6])
    comm = MPI.COMM_WORLD
    rank = comm.Get_rank()
    (pids / str(rank)).write_text(str(os.getpid()))
    with poststage.open_agent(comm=comm) as agent:
        for step in range(datasets):
            name = f"step.{step}"
            chance = random.Random(f"{seed}/{name}/{rank}")
            files = write(buffer / name, rank, chance)
            promise(expected / f"{name}.{rank}", buffer, destination, files)
            with agent.transfer(name) as transfer:
                for source in files:
                    transfer.add(source, destination / source.relative_to(buffer))


def write(top: Path, rank: int, chance: random.Random) -> list[Path]:
    """A few files of this rank, one of them empty, scattered, with odd modes and ns times."""
    files = [top / f"data.{rank}", top / "deep" / f"r{rank}" / "part", top / f"empty.{rank}"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0 if path.name.startswith("empty") else chance.randrange(1, 400_000)
        path.write_bytes(chance.randbytes(size))
        path.chmod(chance.choice(MODES))
        times = (chance.randrange(-(10**18), 10**18), chance.randrange(-(10**18), 10**18))
        os.utime(path, ns=times)
    return files


def promise(path: Path, buffer: Path, destination: Path, files: list[Path]) -> None:
    """What must stand at the destinations; the burst buffer may be gone when it is checked."""
    lines = []
    for source in files:
        info, content = source.stat(), source.read_bytes()
        os.utime(source, ns=(info.st_atime_ns, info.st_mtime_ns))  # as if nobody had read it
        lines.append(
            json.dumps(
                {
                    "destination": str(destination / source.relative_to(buffer)),
                    "content": content.hex(),
                    "facts": [info.st_size, info.st_uid, info.st_gid, info.st_mode & 0o7777],
                    "times_ns": [info.st_atime_ns, info.st_mtime_ns],
                }
            )
        )
    path.with_suffix(path.suffix + ".new").write_text("\n".join(lines))
    path.with_suffix(path.suffix + ".new").rename(path)


if __name__ == "__main__":
    main()
