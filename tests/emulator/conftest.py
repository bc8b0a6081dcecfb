"""What the tests of the emulator share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.sites import EmulatorSite, end_daemon


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EmulatorSite]:
    """An emulator of its own for each test."""
    made = EmulatorSite(tmp_path)
    yield made
    end_daemon(made.root)
