"""What the crash tests share: a workshop on a fast file system, the shim, who can do what."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import shim, tally


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A directory that every user can reach, on tmpfs where the machine has one."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="poststage-crash-", dir=base))
    path.chmod(0o755)
    yield path.resolve()
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def library(workshop: Path) -> Path:
    """The shim, built once."""
    if shim.compiler() is None:
        # A run that asks for more than a sample must not pass by looking at nothing.
        give_up = pytest.skip if tally.LEVEL is tally.Level.SAMPLE else pytest.fail
        give_up("no C compiler on this machine")
    return shim.build(workshop)
