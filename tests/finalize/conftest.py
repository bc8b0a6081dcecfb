"""What the finalizer's tests share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import vendor as stub
from tests.finalize.house import House, Vendor, open_up

MEMORY = Path("/dev/shm")


@pytest.fixture
def common() -> Iterator[Path]:
    """A directory that every user reaches; in memory, where the machine has that.

    syncfs on a disk waits for all that the machine has to write. tests/edge is on a disk.
    """
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="poststage-test-", dir=base))
    path.chmod(0o755)
    yield path
    open_up(path)
    shutil.rmtree(path)


@pytest.fixture
def tmp_path(common: Path) -> Path:
    """In memory as well."""
    path = common / "tmp"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty destination directory and an empty STATEDIR."""
    return House(tmp_path)


@pytest.fixture
def vendor(common: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """A third party's backend, whose answers stand in files."""
    site = stub.install(common / "vendor")
    monkeypatch.syspath_prepend(common / "vendor" / "site-packages")
    return Vendor(site, common / "vendor" / "ledger")
