"""A vendor whose ledger shows what it was told, and a place to hand files over from and to."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from poststage.agent import Agent, open_agent
from poststage.model import State
from poststage.statefile import layout, read_state
from tests.crash import vendor as stub
from tests.crash.conftest import library, workshop

__all__ = ["library", "workshop"]


class Vendor(Struct, frozen=True):
    """The stub vendor of one test: its site file, its ledger, where Python finds it."""

    site: Path
    ledger: Path
    packages: Path

    def starts(self) -> list[list[str]]:
        """The targets of each start that it was told."""
        told = [start for starts in stub.started(self.ledger).values() for start in starts]
        return [[target for _, target in moves] for moves in told]

    def environment(self) -> dict[str, str]:
        """The environment for a process that is to find it."""
        return {
            **os.environ,
            "PYTHONPATH": f"{self.packages}:{Path(__file__).parents[2]}",
            "POSTSTAGE_SITE": str(self.site),
        }


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """Installed as a third party's backend."""
    site = stub.install(tmp_path / "vendor")
    packages = tmp_path / "vendor" / "site-packages"
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("POSTSTAGE_SITE", str(site))
    return Vendor(site, tmp_path / "vendor" / "ledger", packages)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Where state files go; not there yet."""
    return tmp_path / "state"


@pytest.fixture
def agent(vendor: Vendor, state_dir: Path) -> Iterator[Agent]:
    """An agent of the vendor."""
    with open_agent(state_dir) as opened:
        yield opened


def state_of(path: Path | bytes) -> State:
    """What the state file says."""
    name = os.fsencode(path)
    fd = os.open(name, os.O_RDONLY)
    try:
        state = read_state(fd, name)
    finally:
        os.close(fd)
    assert state is not None
    return state


def state_path(state_dir: Path, dataset: str, part: int = 0) -> Path:
    """Where the state file of a part is."""
    name = layout.dataset_dir_name(dataset) + b"/" + layout.state_name(part)
    return state_dir / os.fsdecode(name)
