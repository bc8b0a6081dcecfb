"""One emulator for all edge cases, and one job for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.story import Emulator, Story
from tests.finalize.house import open_up


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A daemon that holds no burst buffer and has no faults."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator") / "root").start()
    yield emulator
    emulator.stop()


@pytest.fixture
def story(tmp_path: Path, shared_emulator: Emulator) -> Iterator[Story]:
    """A job with nothing handed over yet."""
    yield Story(tmp_path, shared_emulator)
    shared_emulator.faults()
    open_up(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Story]:
    """A job with an emulator of its own, which holds its burst buffer."""
    (tmp_path / "bb").mkdir()
    words = ("--burst-buffer", str(tmp_path / "bb"))
    emulator = Emulator(tmp_path / "emulator", *words).start()
    yield Story(tmp_path, emulator, timeout_s=1.0)
    emulator.stop()
