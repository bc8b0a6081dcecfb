"""The contract, run over both backends that come with poststage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.backends.contract import BackendContract
from tests.backends.sites import EmulatorSite, LocalSite, end_daemon


class TestEmulator(BackendContract):
    """The emulator keeps the contract."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[EmulatorSite]:
        """An emulator of its own for each law."""
        made = EmulatorSite(tmp_path)
        yield made
        end_daemon(made.root)


class TestLocal(BackendContract):
    """So does `local`."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[LocalSite]:
        """A STATEDIR of its own for each law."""
        made = LocalSite(tmp_path)
        yield made
        end_daemon(made.root)
