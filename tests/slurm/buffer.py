"""The user's burst buffer for one test: the emulator, what a job writes, what must arrive."""

import shutil
from pathlib import Path
from typing import Any

from tests.slurm.cluster import Cluster, facts, until

RANKS = 4


class Buffer:
    """Directories of one test below the user's home; the emulator copies from `bb`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bb, self.out = cluster.home / "bb", cluster.home / "lustre"

    def start(self) -> None:
        """An empty burst buffer, an empty destination, an emulator without faults."""
        for path in (self.bb, self.out, self.cluster.home / "emulator"):
            shutil.rmtree(path, ignore_errors=True)
        self._user("mkdir", self.bb, self.out)
        self.poststage("emulator", "start")

    def stop(self) -> None:
        """The emulator's end."""
        self.poststage("emulator", "stop")

    def poststage(self, *words: object) -> str:
        """A command of the user's; emulator commands know their root."""
        root = ("--root", self.cluster.home / "emulator") if words[0] == "emulator" else ()
        return self._user("poststage", *words, *root)

    def fault(self, *words: object) -> None:
        """Make the emulator slow or faulty."""
        self.poststage("emulator", "fault", *words)

    def program(self, *, launcher: str = f"mpirun -n {RANKS}", more: str = "") -> str:
        """The shell line that runs the MPI program of this test's jobs."""
        program = self.cluster.top / "program.py"
        return f"{launcher} python {program} {self.bb}/$SLURM_JOB_ID {self.out} {more}"

    def expected(self, job: str) -> dict[str, dict[str, Any]]:
        """What the job has written: name → what must be exact."""
        top = self.bb / job
        return {str(path.relative_to(top)): facts(path) for path in files(top)}

    def arrived(self) -> dict[str, dict[str, Any]]:
        """What stands at the destination, temp files and all."""
        return {str(path.relative_to(self.out)): facts(path) for path in files(self.out)}

    def until_temp(self) -> Path:
        """Wait until a temp file is at the destination; its path."""
        found = until(
            lambda: [path for path in files(self.out) if path.name.endswith(".poststage")],
            bool,
            "no temp file appears",
        )
        return found[0]

    def _user(self, *words: object) -> str:
        done = self.cluster.as_user(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


def files(top: Path) -> list[Path]:
    """Everything below `top` that is no directory."""
    return sorted(path for path in top.rglob("*") if not path.is_dir())
