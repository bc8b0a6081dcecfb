"""What the finalizer's tests share."""

from pathlib import Path

import pytest

from tests.finalize.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty destination directory and an empty STATEDIR."""
    return House(tmp_path)
