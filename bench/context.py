"""What every family of workloads is given."""

import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from bench import trees
from bench.measure import REPOSITORY
from bench.places import Place
from bench.sizes import Sizes


class Bench(Struct, frozen=True):
    """Sizes, places, programs, the site of simulated transfers."""

    sizes: Sizes
    scratch: Path
    """A directory for small things."""
    memory: Place | None
    """On tmpfs."""
    disk: Place
    fresh: Place
    """For many small files: a new ext4 where root can make one, else a directory on the disk."""
    env: dict[str, str]
    floor: Path | None
    """bench/floor.c, built; None without a C compiler."""

    @property
    def places(self) -> list[Place]:
        """tmpfs where there is one, and one for many small files."""
        return [one for one in (self.memory, self.fresh) if one is not None]


def bench_of(sizes: Sizes, scratch: Path, memory: Place | None, disk: Place, fresh: Place) -> Bench:
    """A bench with its programs built."""
    return Bench(sizes, scratch, memory, disk, fresh, trees.site(scratch), _built(scratch))


def _built(scratch: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    program, source = scratch / "floor", REPOSITORY / "bench/floor.c"
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, source], check=True)
    return program
