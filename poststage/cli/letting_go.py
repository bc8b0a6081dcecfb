"""Telling backends that nobody will ask for a transfer any more, once its record is gone."""

from collections.abc import Sequence
from pathlib import Path

from poststage import config
from poststage.agent.known import Probes
from poststage.cli import render
from poststage.cli.common import say
from poststage.cli.survey import Part
from poststage.errors import PoststageError
from poststage.names import shown
from poststage.statefile.axl import BACKEND as AXL


def let_go(parts: Sequence[Part], settings: config.Settings, state_dir: Path) -> None:
    """Let the backends of `parts` forget what they keep; one that cannot be asked is named."""
    by_backend: dict[str, list[Part]] = {}
    for part in parts:
        if part.id and part.backend != AXL and (part.moves or part.cut_off):
            by_backend.setdefault(part.backend, []).append(part)
    with Probes(settings, state_dir) as probes:
        for backend, ours in by_backend.items():
            try:
                _let_go(probes, backend, ours)
            except PoststageError as error:
                kept = render.count(len(ours), "transfer")
                say(f"backend {shown(backend)} keeps what it has of {kept}: {error.message}")


def _let_go(probes: Probes, backend: str, parts: Sequence[Part]) -> None:
    probe = probes.of(backend)
    nameless = [part.id for part in parts if part.handle is None]
    found = probe.find(nameless) if nameless else {}
    handles = {part.id: part.handle or found.get(part.id) for part in parts}
    for part in parts:
        handle = handles[part.id]
        if part.cut_off and handle is not None:
            probe.cancel(handle)  # it was never started; so it never is, and has ended
    probe.forget([handle for handle in handles.values() if handle is not None])
