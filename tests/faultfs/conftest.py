"""A mounted file system that lies, and the finalizer's modules loaded beside it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import shim, vendor
from tests.crash.forkserver import ForkServer
from tests.crash.programs import MODULES
from tests.crash.shim import Shim
from tests.faultfs import mount
from tests.faultfs.mount import FaultFs, Lack


@pytest.fixture(scope="module")
def shop() -> Iterator[Path]:
    """A directory that every user can reach, on tmpfs where the machine has one."""
    if reason := mount.hindrance():
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"{reason}; where CI runs these tests it has to be")
        pytest.skip(reason)
    memory = Path("/dev/shm")
    base = memory if memory.exists() else None
    path = Path(tempfile.mkdtemp(prefix="poststage-faultfs-", dir=base))
    path.chmod(0o755)
    yield path.resolve()
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def mounted(shop: Path) -> Iterator[FaultFs]:
    """The file system, mounted once."""
    with FaultFs(mount.build(shop), shop / "fs") as found:
        yield found


@pytest.fixture
def fs(mounted: FaultFs) -> Iterator[FaultFs]:
    """The file system as it should be, whatever the last test made of it."""
    mounted.be_honest()
    mounted.lack(Lack.NOTHING)
    mounted.delay(0)
    yield mounted
    mounted.be_honest()


@pytest.fixture(scope="module")
def site(shop: Path) -> Path:
    """The site's file, with a vendor whose answers stand in a file."""
    return vendor.install(shop)


@pytest.fixture(scope="module")
def server(shop: Path, site: Path) -> Iterator[ForkServer]:
    """The finalizer's modules, loaded under the shim, which counts their calls."""
    directory = shop / "server"
    directory.mkdir()
    watching = Shim(shim.build(directory), directory)
    with ForkServer(watching, directory, MODULES, [shop / "site-packages"]) as running:
        yield running
