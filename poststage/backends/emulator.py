"""The emulator as a backend: the client's side of its daemon."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from poststage.backends import daemons
from poststage.backends.base import Answer, Backend, Capabilities, Context, Item
from poststage.copier import protocol as p
from poststage.copier.client import session
from poststage.errors import BackendError
from poststage.model import TransferState

CAPABILITIES = Capabilities(
    handle_before_start=True,
    per_file_answers=True,
    outlives_job=True,
    resumable=True,
    keeps_until_forgotten=True,
)


def default_root(env: Mapping[str, str] = os.environ) -> Path:
    """POSTSTAGE_EMULATOR_ROOT, else a directory in /tmp for this user."""
    return Path(env.get("POSTSTAGE_EMULATOR_ROOT") or f"/tmp/poststage-emulator-{os.geteuid()}")


class EmulatorMover:
    """The compute node's side; one connection a call."""

    capabilities = CAPABILITIES

    def __init__(self, root: Path, timeout_s: float) -> None:
        self._root, self._timeout_s = root, timeout_s

    def handle(self, tag: str) -> str:
        """As `Mover.handle`."""
        with session(self._root, self._timeout_s) as daemon:
            return daemons.make_handle(daemon, tag)

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """As `Mover.start`."""
        with session(self._root, self._timeout_s) as daemon:
            daemons.start(daemon, handle, items)

    def close(self) -> None:
        """As `Mover.close`."""


class EmulatorProbe:
    """The post-stage node's side; one connection a call."""

    capabilities = CAPABILITIES

    def __init__(self, root: Path, timeout_s: float) -> None:
        self._root, self._timeout_s = root, timeout_s

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`."""
        try:
            with session(self._root, self._timeout_s) as daemon:
                return daemons.statuses(daemon, handles)
        except BackendError as error:
            return daemons.unknown(handles, str(error))

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`."""
        with session(self._root, self._timeout_s) as daemon:
            return daemons.find(daemon, tags)

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`."""
        return self._ask(handle, p.Cancel(handle))

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: the emulator itself goes on with everything that it can."""
        return self._ask(handle, p.Resume(handle))

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`."""
        with session(self._root, self._timeout_s) as daemon:
            daemons.forget(daemon, handles)

    def close(self) -> None:
        """As `Probe.close`."""

    def _ask(self, handle: str, request: p.AnyRequest) -> Answer:
        try:
            with session(self._root, self._timeout_s) as daemon:
                return daemons.answers_of(daemon, request)[handle]
        except BackendError as error:
            return Answer(TransferState.UNKNOWN, reason=str(error))


def _place(context: Context) -> tuple[Path, float]:
    root = str(context.settings["root"])
    return Path(root) if root else default_root(), float(context.settings["timeout_s"])


BACKEND = Backend(
    name="emulator",
    open_mover=lambda context: EmulatorMover(*_place(context)),
    open_probe=lambda context: EmulatorProbe(*_place(context)),
    defaults={"root": "", "timeout_s": 30.0},
    least={"timeout_s": 0.001},
    paths=frozenset({"root"}),
)
