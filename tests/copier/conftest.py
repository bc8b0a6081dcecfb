"""What the tests of the copier share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.copier import scene


@pytest.fixture
def place(tmp_path: Path) -> Iterator[scene.Place]:
    """A folder with sources, destinations and a queue."""
    with scene.place(tmp_path) as made:
        yield made
