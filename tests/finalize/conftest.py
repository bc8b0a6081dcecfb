"""What the finalizer's tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.finalize.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty destination directory and an empty STATEDIR."""
    return House(tmp_path)


@pytest.fixture
def common() -> Iterator[Path]:
    """A directory that every user reaches; pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="poststage-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
