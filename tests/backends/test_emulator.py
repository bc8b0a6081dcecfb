"""The emulator as a backend: where its root is, and large transfers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage import backends, config
from poststage.backends.base import Context, Item
from poststage.backends.contract import ended
from poststage.backends.emulator import BACKEND, default_root
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.sites import EmulatorSite, end_daemon


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EmulatorSite]:
    made = EmulatorSite(tmp_path)
    yield made
    end_daemon(made.root)


def test_the_root_is_each_user_s_own_unless_it_is_named() -> None:
    assert default_root({}) == Path(f"/tmp/poststage-emulator-{os.geteuid()}")
    assert default_root({"POSTSTAGE_EMULATOR_ROOT": "/elsewhere"}) == Path("/elsewhere")


@pytest.mark.parametrize("name", ["emulator", "local"])
def test_each_backend_is_found_by_its_entry_point(name: str, tmp_path: Path) -> None:
    settings = config.load(env={})
    found = backends.load(name, settings)
    assert found.name == name
    assert backends.context(found, settings, tmp_path).settings == found.defaults


def test_an_emulator_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    context = Context(tmp_path, {**BACKEND.defaults, "root": str(tmp_path / "none")})
    with pytest.raises(BackendError) as caught:
        BACKEND.open_mover(context).handle("tag")
    assert "poststage emulator" in caught.value.hint


def test_files_that_fill_several_requests_and_replies_all_arrive(site: EmulatorSite) -> None:
    source = site.source_dir / "one"
    source.write_bytes(b"")
    info = source.stat()
    items = [
        Item(n, os.fsencode(source), b"%s/.%d" % (os.fsencode(site.destination_dir), n), 0,
             info.st_mtime_ns)
        for n in range(3_000)
    ]  # fmt: skip
    handle = site.mover.handle(site.tag)
    site.mover.start(handle, items)
    answer = ended(site, handle)
    assert answer.state is TransferState.FULLSUCCESS
    assert len(answer.files) == len(os.listdir(site.destination_dir)) == 3_000
