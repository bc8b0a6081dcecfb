"""HPE's Rabbit (NNF): the `datamovement.DataMover` daemon of a compute node, over gRPC.

One data movement a file. The daemon chooses their uids, so none is recorded: the command of a
movement ends with the temp file's name, and that carries the transfer's tag and the file's index.
A handle is `NAMESPACE/WORKFLOW:TAG`.
"""

import os
import re
from collections.abc import Mapping, Sequence

from poststage.backends.base import Answer, Backend, Capabilities, Context, Item
from poststage.backends.movable import require_movable
from poststage.backends.nnf_answers import MAY_BE_OURS, answer, files_of
from poststage.backends.nnf_daemon import Daemon, Movement, Workflow
from poststage.errors import BackendError
from poststage.model import TransferState
from poststage.names import shown

CAPABILITIES = Capabilities(
    handle_before_start=False,
    per_file_answers=True,
    outlives_job=True,
    resumable=False,
    any_names=False,
)
_HANDLE = re.compile(r"([a-z0-9.-]{1,253})/([a-z0-9.-]{1,253}):([0-9a-f]{16})")
_NAME, _NAMESPACE = "DW_WORKFLOW_NAME", "DW_WORKFLOW_NAMESPACE"


class NnfMover:
    """The compute node's side."""

    capabilities = CAPABILITIES

    def __init__(self, daemon: Daemon, settings: Mapping[str, str]) -> None:
        self._daemon, self._settings = daemon, settings
        self._tried: set[str] = set()

    def handle(self, tag: str) -> str:
        """As `Mover.handle`; the daemon is not asked, and knows nothing of it yet."""
        workflow = _workflow_here()
        return f"{workflow.namespace}/{workflow.name}:{tag}"

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """As `Mover.start`. What began before a refusal is cancelled: all of it or nothing."""
        workflow, tag = _require(handle)
        require_movable(items)
        pairs = [(item.index, _text(item.source), _text(item.target)) for item in items]
        begun: set[int] = set()
        if handle in self._tried:
            begun = self._begun(workflow, tag)
        self._tried.add(handle)
        try:
            for index, source, target in pairs:
                if index not in begun:
                    self._daemon.create(workflow, source, target, self._settings)
        except BackendError:
            _cancelled(self._daemon, workflow, tag)
            raise

    def close(self) -> None:
        """As `Mover.close`."""

    def _begun(self, workflow: Workflow, tag: str) -> set[int]:
        """The files that an earlier try of this process has begun, and that are not lost."""
        movements = self._daemon.movements(workflow)
        if any(one.unplaced for one in movements):
            raise BackendError(f"transfer {tag}: {MAY_BE_OURS}; nothing more was started")
        files = files_of(movements, tag)
        again = {TransferState.FAILED, TransferState.CANCELED}
        return {index for index, answer in files.items() if answer.state not in again}


class NnfProbe:
    """The asking side; works where the daemon listens, while the workflow lives."""

    capabilities = CAPABILITIES

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`; one pass over each workflow's movements."""
        found, asked = {}, dict[Workflow, list[Movement] | str]()
        for handle in handles:
            parsed = _parse(handle)
            if parsed is None:
                found[handle] = _unknown("is not a handle of this backend")
                continue
            workflow, tag = parsed
            if workflow not in asked:
                asked[workflow] = self._asked(workflow)
            movements = asked[workflow]
            if isinstance(movements, str):
                found[handle] = _unknown(movements)
            else:
                found[handle] = answer(movements, tag)
        return found

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`, in this job's workflow."""
        self._daemon.require()
        workflow = _workflow_here()
        known = {one.tag for one in self._daemon.movements(workflow)}
        return {tag: f"{workflow.namespace}/{workflow.name}:{tag}" for tag in tags if tag in known}

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`."""
        parsed = _parse(handle)
        if parsed is not None:
            _cancelled(self._daemon, *parsed)
        return self.answers([handle])[handle]

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: there is no such thing; how it stands."""
        return self.answers([handle])[handle]

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`: the vendor's records go with the workflow."""

    def close(self) -> None:
        """As `Probe.close`."""

    def _asked(self, workflow: Workflow) -> list[Movement] | str:
        """The movements, or why they are not known."""
        try:
            return self._daemon.movements(workflow)
        except BackendError as error:
            return error.message


def _cancelled(daemon: Daemon, workflow: Workflow, tag: str) -> None:
    """Cancel what has not ended; what cannot be told so is asked after again by the next run."""
    try:
        for one in daemon.movements(workflow):
            if one.tag == tag and not one.state.ended:
                daemon.cancel(workflow, one.uid)
    except BackendError:
        return


def _workflow_here() -> Workflow:
    name = os.environ.get(_NAME, "")
    if not name:
        raise BackendError(
            f"Rabbit: {_NAME} is not set; nothing was started",
            hint="it is set in a job with a #DW directive",
        )
    return Workflow(os.environ.get(_NAMESPACE) or "default", name)


def _parse(handle: str) -> tuple[Workflow, str] | None:
    match = _HANDLE.fullmatch(handle)
    return None if match is None else (Workflow(match[1], match[2]), match[3])


def _require(handle: str) -> tuple[Workflow, str]:
    parsed = _parse(handle)
    if parsed is None:
        raise BackendError(f"transfer {handle!r}: is not a handle of this backend; not started")
    return parsed


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BackendError(
            f"{shown(name)}: is not UTF-8, which is all that a Rabbit's daemon takes; "
            "nothing of its transfer was started",
            hint="rename it, or copy it by other means",
        ) from error


def _unknown(reason: str) -> Answer:
    return Answer(TransferState.UNKNOWN, reason=reason)


def _daemon(context: Context) -> Daemon:
    settings = context.settings
    return Daemon(str(settings["socket"]), float(settings["timeout_s"]))


BACKEND = Backend(
    name="nnf",
    open_mover=lambda context: NnfMover(_daemon(context), context.settings),
    open_probe=lambda context: NnfProbe(_daemon(context)),
    defaults={
        "socket": "/var/run/nnf-dm.sock",
        "profile": "",
        "dcp_options": "",
        "timeout_s": 30.0,
    },
    least={"timeout_s": 0.001},
    paths=frozenset({"socket"}),
)
