"""What a backend is: both of ours are movers and probes, whole and by their types."""

import inspect
from pathlib import Path

import pytest

from poststage import backends, config
from poststage.backends import emulator, local
from poststage.backends.base import Answer, Backend, Context, Mover, Probe
from poststage.errors import UsageError
from poststage.model import TransferState

BACKENDS = [emulator.BACKEND, local.BACKEND]


def methods(protocol: type) -> set[str]:
    """The names that the Protocol asks for."""
    return {name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if name[0] != "_"}


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_a_backend_opens_a_mover_and_a_probe_without_touching_anything(
    backend: Backend, tmp_path: Path
) -> None:
    context = Context(tmp_path / "missing", dict(backend.defaults))
    mover: Mover = backend.open_mover(context)
    probe: Probe = backend.open_probe(context)
    assert all(callable(getattr(mover, name)) for name in methods(Mover))
    assert all(callable(getattr(probe, name)) for name in methods(Probe))
    assert mover.capabilities == probe.capabilities
    mover.close()
    probe.close()
    assert list(tmp_path.iterdir()) == []


def test_an_answer_without_files_tells_them_not_apart() -> None:
    assert Answer(TransferState.UNKNOWN).files == {}
    assert not TransferState.UNKNOWN.ended


@pytest.mark.parametrize(
    ("backend", "line"),
    [
        (local.BACKEND, "threads = 0"),
        (local.BACKEND, "threads = -1"),
        (local.BACKEND, "progress_mb = 0"),
        (local.BACKEND, "limit_mb_s = -1.0"),
        (local.BACKEND, "limit_mb_s = nan"),
        (local.BACKEND, "idle_s = inf"),
        (emulator.BACKEND, "timeout_s = 0"),
        (emulator.BACKEND, 'root = "~/emu"'),
        (emulator.BACKEND, 'root = "emu"'),
    ],
)
def test_a_setting_with_which_a_backend_cannot_work_is_refused(
    backend: Backend, line: str, tmp_path: Path
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f"[backend.{backend.name}]\n{line}\n")
    with pytest.raises(UsageError, match=line.partition(" ")[0]):
        backends.context(backend, config.load(path), tmp_path)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_the_least_and_the_paths_are_of_settings_that_there_are(backend: Backend) -> None:
    assert {*backend.least, *backend.paths} <= set(backend.defaults)
