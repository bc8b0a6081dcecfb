"""Cray's DataWarp: its library on compute nodes, while the job's storage lives.

DataWarp knows a staged file by its source's path alone, and no transfers. So what belongs together
is kept in STATEDIR/.datawarp, a file a transfer, and a path that was staged before is refused: what
came of it could not be told from what comes of it now. Written from Cray's XC manual (S-2558).
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from poststage.backends.base import Answer, Backend, Capabilities, Context, FileAnswer, Item
from poststage.backends.datawarp_library import Library
from poststage.backends.datawarp_record import Kept, Record, Staged
from poststage.backends.movable import require_movable
from poststage.errors import BackendError, PoststageError
from poststage.model import TransferState
from poststage.names import from_text, shown, to_text

CAPABILITIES = Capabilities(
    handle_before_start=True,
    per_file_answers=True,
    outlives_job=True,
    resumable=False,
    keeps_until_forgotten=True,
)


class DatawarpMover:
    """The compute node's side."""

    capabilities = CAPABILITIES

    def __init__(self, library: Library, kept: Kept) -> None:
        self._library, self._kept = library, kept

    def handle(self, tag: str) -> str:
        """As `Mover.handle`; it is the tag."""
        with self._kept.alone():
            if self._kept.read(tag) is None:
                self._kept.write(tag, Record())
        return tag

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """As `Mover.start`. What it staged before it failed goes on; the next try does the rest."""
        with self._kept.alone():
            record = self._kept.read(handle)
            if record is None or record.cancelled:
                fact = "is not known here" if record is None else "is cancelled"
                raise BackendError(f"transfer {shown(handle)}: {fact}; it was not started")
            if not record.started:
                require_movable(items)
                self._require_new(items)
                self._kept.write(handle, Record(started=True, files=_staged(items)))
            for item in items:
                if self._library.state(item.source) is TransferState.NOTSTARTED:
                    self._library.stage_out(item.source, item.target)

    def close(self) -> None:
        """As `Mover.close`."""

    def _require_new(self, items: Sequence[Item]) -> None:
        for item in items:
            if self._library.state(item.source) is not TransferState.NOTSTARTED:
                raise BackendError(
                    f"{shown(item.source)}: was staged before, and DataWarp tells stagings apart "
                    "by this path alone; nothing of its transfer was started",
                    hint="give each time step's files names of their own in the burst buffer",
                )


class DatawarpProbe:
    """The asking side: in the job, or where else the library works."""

    capabilities = CAPABILITIES

    def __init__(self, library: Library, kept: Kept) -> None:
        self._library, self._kept = library, kept

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`; a call a file."""
        return {handle: self._answer(handle) for handle in handles}

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`."""
        return {tag: tag for tag in tags if self._kept.read(tag) is not None}

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`; durable before the library is told."""
        try:
            with self._kept.alone():
                answer = self._answer(handle)
                record = self._kept.read(handle)
                if record is None or answer.state.ended or answer.state is TransferState.UNKNOWN:
                    return answer
                self._kept.write(handle, replace(record, cancelled=True))
                for file in record.files:
                    self._library.terminate(from_text(file.source))
        except PoststageError as error:
            return _unknown(error.message)
        return self._answer(handle)

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: there is no such thing; how it stands."""
        return self._answer(handle)

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`."""
        for handle, answer in self.answers(handles).items():
            if answer.state.ended:
                self._kept.drop(handle)

    def close(self) -> None:
        """As `Probe.close`."""

    def _answer(self, handle: str) -> Answer:
        try:
            record = self._kept.read(handle)
            if record is None:
                return _unknown("is not a handle of this backend, or its record is gone")
            states = {
                file.index: self._library.state(from_text(file.source)) for file in record.files
            }
        except PoststageError as error:
            return _unknown(error.message)
        return _summed_up(record, states)


def _summed_up(record: Record, states: Mapping[int, TransferState]) -> Answer:
    files = {index: _file(state, cancelled=record.cancelled) for index, state in states.items()}
    kinds = {file.state for file in files.values()}
    if not record.started:
        state = TransferState.CANCELED if record.cancelled else TransferState.NOTSTARTED
        return Answer(state)
    if TransferState.INPROGRESS in kinds:
        return Answer(TransferState.INPROGRESS, files)
    if len(kinds) == 1:
        return Answer(kinds.pop(), files)
    cancelled = TransferState.CANCELED in kinds
    partial = TransferState.CANCELED if cancelled else TransferState.PARTIALSUCCESS
    return Answer(partial if kinds else TransferState.FULLSUCCESS, files)


def _file(state: TransferState, *, cancelled: bool) -> FileAnswer:
    if cancelled and state in {TransferState.NOTSTARTED, TransferState.FAILED}:
        return FileAnswer(TransferState.CANCELED)
    reason = "DataWarp says that it failed" if state is TransferState.FAILED else ""
    return FileAnswer(state, reason)


def _staged(items: Sequence[Item]) -> list[Staged]:
    return [Staged(item.index, to_text(item.source), to_text(item.target)) for item in items]


def _unknown(reason: str) -> Answer:
    return Answer(TransferState.UNKNOWN, reason=reason)


def _open(context: Context) -> tuple[Library, Kept]:
    timeout_s = float(context.settings["timeout_s"])
    return Library(str(context.settings["library"])), Kept(context.state_dir, timeout_s)


BACKEND = Backend(
    name="datawarp",
    open_mover=lambda context: DatawarpMover(*_open(context)),
    open_probe=lambda context: DatawarpProbe(*_open(context)),
    defaults={"library": "/opt/cray/datawarp/lib64/libdatawarp.so", "timeout_s": 30.0},
    least={"timeout_s": 0.001},
    paths=frozenset({"library"}),
)
