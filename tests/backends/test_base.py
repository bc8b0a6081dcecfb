"""What a backend is: both of ours are movers and probes, whole and by their types."""

import inspect
from pathlib import Path

import pytest

from poststage.backends import emulator, local
from poststage.backends.base import Answer, Backend, Context, Mover, Probe
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
