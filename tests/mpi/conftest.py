"""A site with a real emulator, and commands as a job script runs them, under mpirun or not."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from poststage.model import Entry
from tests.agent.conftest import state_of

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0
# What a launcher around the tests would leave in the environment.
LAUNCHER = ("PMI", "PMIX", "OMPI", "SLURM", "MPI_", "JSM", "PALS", "HYD", "POSTSTAGE")

Done = subprocess.CompletedProcess[str]


class Site:
    """One directory with a burst buffer `bb`, a file system `pfs` and a STATEDIR."""

    def __init__(self, top: Path, emulator: Path) -> None:
        self.top, self.emulator = top, emulator
        self.bb, self.pfs, self.state_dir = top / "bb", top / "pfs", top / "state"
        self.bb.mkdir()
        self.pfs.mkdir()
        (top / "site.toml").write_text(
            f'[backend.emulator]\nroot = "{emulator}"\ntimeout_s = 15.0\n'
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHER)}
        self.env = kept | {
            "POSTSTAGE_SITE": str(top / "site.toml"),
            "POSTSTAGE_STATE_DIR": str(self.state_dir),
            "PATH": f"{BIN}:{kept['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
        }

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Done:
        """A command, to its end."""
        return subprocess.run(
            words,
            cwd=self.top,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def mpirun(
        self, *words: str | Path, ranks: int = 4, env: Mapping[str, str] | None = None
    ) -> Done:
        """A command on `ranks` ranks."""
        return self.run("mpirun", "-n", str(ranks), *words, env=env)

    def python(self, script: str, *words: str | Path, ranks: int = 4) -> Done:
        """A Python program on `ranks` ranks."""
        return self.mpirun(sys.executable, "-c", script, *words, ranks=ranks)

    def state_files(self) -> list[str]:
        """Names of all state files, relative to STATEDIR."""
        found = self.state_dir.rglob("*.state")
        return sorted(str(path.relative_to(self.state_dir)) for path in found)

    def entries(self, state_file: str) -> Sequence[Entry]:
        """What a state file lists."""
        return state_of(self.state_dir / state_file).entries

    def finalize(self) -> Done:
        """`finalize`, waiting for what runs."""
        return self.run("finalize", "--dir", self.state_dir, "--deadline", "30")

    def tree(self, top: Path) -> dict[bytes, tuple[int, bytes]]:
        """Every name below `top`: permission bits and content (or a link's target)."""
        found: dict[bytes, tuple[int, bytes]] = {}
        root = os.fsencode(top)
        for directory, subdirs, files in os.walk(root):
            for name in subdirs + files:
                path = os.path.join(directory, name)
                mode = os.lstat(path).st_mode
                found[os.path.relpath(path, root)] = (mode, content(path))
        return found

    def emulate(self, *words: str) -> None:
        """Control the emulator."""
        done = self.run("poststage", "emulator", words[0], "--root", self.emulator, *words[1:])
        assert done.returncode == 0, done.stderr


def content(path: bytes) -> bytes:
    """A file's bytes or a link's target; nothing of a directory."""
    if os.path.islink(path):
        return b"-> " + os.readlink(path)
    if os.path.isdir(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of an emulator that is left as it is."""
    top = tmp_path_factory.mktemp("emulated")
    owner = Site(top, top / "emulator")
    owner.emulate("start")
    yield owner.emulator
    owner.emulate("stop")


@pytest.fixture
def site(tmp_path: Path, emulator: Path) -> Site:
    """A site of its own, with an emulator that others use too."""
    return Site(tmp_path, emulator)


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A site whose emulator is the test's own, to be slowed, broken and stopped."""
    made = Site(tmp_path, tmp_path / "emulator")
    made.emulate("start")
    yield made
    made.emulate("stop")
