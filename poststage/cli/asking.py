"""Asking backends how transfers stand, for reading commands: nothing is started or cancelled."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from poststage import backends
from poststage.backends.base import Probe
from poststage.cli.survey import Part
from poststage.config import Settings
from poststage.errors import BackendError, PoststageError
from poststage.model import TransferState

Stands = tuple[TransferState, str]
"""A state and its reason, "" for none."""

_BATCH = 1000  # handles asked for at once


class Asker:
    """The probes of one command, each opened when it is first needed; `close` when done."""

    def __init__(self, settings: Settings, state_dir: Path) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._probes: dict[str, Probe | str] = {}

    def ask(self, parts: Iterable[Part]) -> dict[str, Stands]:
        """Transfer id → how it stands, for each of `parts` that is recorded and open."""
        by_backend: dict[str, list[Part]] = {}
        for part in parts:
            if part.recorded and part.moving and not part.done:
                by_backend.setdefault(part.backend, []).append(part)
        result: dict[str, Stands] = {}
        for backend, group in by_backend.items():
            for first in range(0, len(group), _BATCH):
                result.update(self._ask(backend, group[first : first + _BATCH]))
        return result

    def close(self) -> None:
        """Close every probe."""
        for probe in self._probes.values():
            if not isinstance(probe, str):
                probe.close()

    def _ask(self, backend: str, group: Sequence[Part]) -> Mapping[str, Stands]:
        probe = self._probe(backend)
        if isinstance(probe, str):
            return {part.id: (TransferState.UNKNOWN, probe) for part in group}
        try:
            return _asked(probe, group)
        except BackendError as error:
            return {part.id: (TransferState.UNKNOWN, error.message) for part in group}

    def _probe(self, name: str) -> Probe | str:
        """The probe, or why there is none."""
        if name not in self._probes:
            self._probes[name] = self._opened(name)
        return self._probes[name]

    def _opened(self, name: str) -> Probe | str:
        try:
            backend = backends.load(name, self._settings)
            context = backends.context(backend, self._settings, self._state_dir)
            return backend.open_probe(context)
        except PoststageError as error:
            return error.message


def _asked(probe: Probe, group: Sequence[Part]) -> dict[str, Stands]:
    tags = [part.id for part in group if part.handle is None]
    found = probe.find(tags) if tags else {}
    handles = {part.id: part.handle or found.get(part.id) for part in group}
    answers = probe.answers([handle for handle in handles.values() if handle is not None])
    result: dict[str, Stands] = {}
    for tag, handle in handles.items():
        answer = None if handle is None else answers.get(handle)
        if handle is None:
            result[tag] = (TransferState.NOTSTARTED, "")
        elif answer is None:
            result[tag] = (TransferState.UNKNOWN, "the backend gave no answer")
        else:
            result[tag] = (answer.state, answer.reason)
    return result
