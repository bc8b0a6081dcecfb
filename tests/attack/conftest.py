"""What the attacks share: they need root, a compiler, and a place that every user can reach."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import shim, vendor
from tests.crash.forkserver import ForkServer
from tests.crash.programs import MODULES
from tests.crash.runs import warm
from tests.crash.shim import Shim


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A directory that every user can reach, on tmpfs where the machine has one."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    memory = Path("/dev/shm")
    path = Path(
        tempfile.mkdtemp(prefix="poststage-attack-", dir=memory if memory.exists() else None)
    )
    path.chmod(0o755)
    yield path.resolve()
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def site(workshop: Path) -> Path:
    """The site's file, with a vendor whose answers stand in a file."""
    return vendor.install(workshop)


@pytest.fixture(scope="session")
def server(workshop: Path, site: Path) -> Iterator[ForkServer]:
    """The finalizer's modules, loaded under the shim, as root."""
    if shim.compiler() is None:
        pytest.skip("no C compiler on this machine")
    directory = workshop / "server"
    directory.mkdir()
    watching = Shim(shim.build(directory), directory)
    with ForkServer(watching, directory, MODULES, [workshop / "site-packages"]) as running:
        warm(running, site)
        yield running
