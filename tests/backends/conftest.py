"""Stub vendors for the backends that need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.vendors.sites import BbapiSite, DatawarpSite, NnfSite


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where stub libraries are built, once."""
    return tmp_path_factory.mktemp("libraries")


@pytest.fixture
def bbapi_site(
    tmp_path: Path, libraries: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BbapiSite]:
    """A job with IBM's burst buffer."""
    made = BbapiSite(tmp_path, libraries, monkeypatch)
    yield made
    made.kill()


@pytest.fixture
def nnf_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NnfSite]:
    """A job on a Rabbit."""
    made = NnfSite(tmp_path, monkeypatch)
    yield made
    made.kill()


@pytest.fixture
def datawarp_site(
    tmp_path: Path, libraries: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatawarpSite]:
    """A job with Cray's DataWarp."""
    made = DatawarpSite(tmp_path, libraries, monkeypatch)
    yield made
    made.kill()
