"""A transfer that some process recorded earlier: opened from its state file, whatever its type.

What its backend copies goes on without it; here it is asked after, cancelled, resumed, forgotten.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from poststage import config, names
from poststage.agent import explain, known, poll
from poststage.agent.known import Probes
from poststage.backends.base import Answer, Probe
from poststage.durable import fsops, lock
from poststage.errors import PoststageError, RunAgainError, SourceError, UsageError
from poststage.model import Entry, Kind, State, TransferState
from poststage.statefile import axl, verdicts
from poststage.statefile.anyone import read_any
from poststage.statefile.layout import DONE_SUFFIX

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OVER = Answer(TransferState.FULLSUCCESS, reason="it is over: all of it is published")


class Recorded(Struct, frozen=True):
    """What the state file says, and whether its agent is still at it."""

    state: State
    busy: bool


def open_earlier(
    state_file: str | bytes | os.PathLike[str],
    state_dir: str | os.PathLike[str] | None = None,
    site: str | os.PathLike[str] | None = None,
) -> "Earlier":
    """The transfer that `state_file` records: one of ours of any backend, or AXL's.

    `state_dir` is its STATEDIR, if that is not the directory above the file's. Not collective.

    Raises:
        StateFileError: it is damaged, or none.
        UsageError: it is not there, or was never written whole.
    """
    path = os.path.abspath(os.fsencode(state_file))
    top = os.path.dirname(os.path.dirname(path)) if state_dir is None else os.fsencode(state_dir)
    settings = config.load(None if site is None else Path(site))
    return Earlier(path, Path(os.fsdecode(top)), settings)


class Earlier:
    """One recorded transfer. Made by `open_earlier` and `Agent.open`; `close` when done."""

    def __init__(self, path: bytes, state_dir: Path, settings: config.Settings) -> None:
        self.path = path
        self._probes = Probes(settings, state_dir)
        self._what = f"state file {names.shown(path)}"
        self.head = self._read().state.head

    def answer(self) -> Answer:
        """What is known of it now: its backend's answer, or the state file's own."""
        if self.path.endswith(DONE_SUFFIX):
            return _OVER
        recorded = self._read()
        return self._own(recorded) or self._asked(recorded.state)

    def test(self) -> TransferState:
        """How it stands now."""
        return self.answer().state

    def wait(self, timeout_s: float | None = None) -> TransferState:
        """How it stands when it has ended or stopped, or when the time is over."""
        return poll.until(self.test, poll.is_settled, timeout_s)

    def cancel(self) -> TransferState:
        """Make the backend stop what has not ended, and record it.

        Raises:
            UsageError: it was never started, or is AXL's own copy: there is nothing to stop.
            BackendError: the backend does not answer; the wish is recorded nevertheless.
        """
        state = self._started("cancelled")
        if state.foreign is None:
            known.record_cancelled(self.path)
        probe, handle = self._handle(state)
        return TransferState.CANCELED if handle is None else probe.cancel(handle).state

    def resume(self) -> Answer:
        """Let a stopped transfer go on, inside each file from what is proven to be there.

        What cannot be proven starts again at the file's beginning. One that runs or has ended
        is left as it is.

        Raises:
            UsageError: it was never dispatched (so nothing is resumed), it was cancelled, its
                backend cannot resume, or it is AXL's.
            SourceError: a source that is still needed is missing or has changed since.
        """
        answer, probe, handle = self._resumable()
        return answer if handle is None else probe.resume(handle)

    def require_resumable(self) -> None:
        """Raise what `resume` would, and resume nothing."""
        self._resumable()

    def _resumable(self) -> tuple[Answer, Probe, str | None]:
        """How it stands, its probe, and the handle if it is to be resumed."""
        state = self._started("resumed")
        answer = self.answer()
        probe = self._probes.of(state.head.backend)
        if answer.state is TransferState.NOTSTARTED:
            raise self._never("resumed")
        if state.cancelled and not answer.state.ended:
            raise UsageError(
                f"{self._what}: was cancelled; nothing was resumed",
                hint="finalize makes its backend stop and deletes what is partial",
            )
        if answer.state is not TransferState.STOPPED:
            return answer, probe, None
        handle = self._handle(state)[1]
        if handle is None or not probe.capabilities.resumable:
            raise UsageError(f"{self._what}: backend {state.head.backend} resumes nothing")
        self._require_sources(state, answer)
        return answer, probe, handle

    def forget(self) -> None:
        """Remove the record of a transfer that is over: set aside, or every verdict recorded.

        Raises:
            UsageError: something of it is still open; `finalize` ends it.
        """
        recorded = self._read()
        over = self.path.endswith(DONE_SUFFIX) or len(recorded.state.ended) == len(
            recorded.state.entries
        )
        if not over or recorded.busy or not recorded.state.recorded:
            raise UsageError(f"{self._what}: is still open; it was kept", hint="run finalize")
        self.remove()

    def state(self) -> State:
        """What the state file says now; RunAgainError while its agent is still at it."""
        recorded = self._read()
        if recorded.busy:
            raise RunAgainError(f"{self._what}: its agent is still at it; it was left alone")
        return recorded.state

    def remove(self) -> None:
        """Remove the record, whatever it says: for those who have ended the transfer.

        Its backend, if it can be asked, forgets it too.
        """
        state = self._read().state
        with explain.explained(self._what, "it was kept"):
            dir_fd = fsops.open_dir(os.path.dirname(self.path))
            try:
                verdicts.drop(dir_fd, os.path.basename(self.path))
                fsops.unlink(dir_fd, os.path.basename(self.path))
                fsops.sync(dir_fd)
            finally:
                os.close(dir_fd)
        if state.foreign is None and any(entry.kind is Kind.FILE for entry in state.entries):
            with suppress(PoststageError):
                probe, handle = self._handle(state)
                probe.forget([] if handle is None else [handle])

    def close(self) -> None:
        """Let go of the backend; the transfer goes on."""
        self._probes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Recorded:
        directory, name = os.path.split(self.path)
        with explain.explained(self._what, "it was left alone"):
            dir_fd = fsops.open_dir(directory)
            try:
                fd = os.open(name, _OPEN, dir_fd=dir_fd)
                try:
                    state = read_any(dir_fd, fd, name, self.path)
                    busy = lock.is_held(fd)
                finally:
                    os.close(fd)
            finally:
                os.close(dir_fd)
        if state is None:
            raise UsageError(f"{self._what}: no record is whole; nothing was handed over")
        return Recorded(state, busy)

    def _own(self, recorded: Recorded) -> Answer | None:
        """What the state file alone can tell; None if the backend has to be asked."""
        state = recorded.state
        if recorded.busy:
            return Answer(TransferState.NOTSTARTED, reason="its agent is still at it")
        if not state.recorded:
            never = "its agent was stopped while it recorded"
            reason = never if state.foreign is None else axl.NEVER_DISPATCHED
            return Answer(TransferState.CANCELED, reason=f"never dispatched: {reason}")
        if state.head.backend == axl.BACKEND:
            reason = "AXL copied it, and nobody can be asked: finalize judges what has arrived"
            return Answer(TransferState.UNKNOWN, reason=reason)
        if not any(entry.kind is Kind.FILE for entry in state.entries):
            return Answer(TransferState.FULLSUCCESS, reason="it has no files to move")
        return None

    def _asked(self, state: State) -> Answer:
        probe, handle = self._handle(state)
        if handle is None:
            return Answer(TransferState.NOTSTARTED, reason="the backend was never told of it")
        return probe.answers([handle]).get(handle, Answer(TransferState.UNKNOWN))

    def _handle(self, state: State) -> tuple[Probe, str | None]:
        probe = self._probes.of(state.head.backend)
        tag = state.head.id
        return probe, state.handle or probe.find([tag]).get(tag)

    def _started(self, what: str) -> State:
        """The state, if there is something at a backend that can be `what`."""
        recorded = self._read()
        state = recorded.state
        if self.path.endswith(DONE_SUFFIX):
            raise UsageError(f"{self._what}: is over; nothing was {what}")
        if recorded.busy:
            raise RunAgainError(f"{self._what}: its agent is still at it; nothing was {what}")
        if not state.recorded:
            raise self._never(what)
        if state.head.backend == axl.BACKEND:
            raise UsageError(
                f"{self._what}: AXL copied it itself; nothing was {what}",
                hint="finalize judges what has arrived of it",
            )
        return state

    def _never(self, what: str) -> UsageError:
        return UsageError(
            f"{self._what}: was never dispatched; nothing was {what}",
            hint="hand the files over again: nothing of them was started",
        )

    def _require_sources(self, state: State, answer: Answer) -> None:
        """Refuse to go on with sources that are not what was recorded."""
        for index, entry in enumerate(state.entries):
            one = answer.files.get(index)
            arrived = one is not None and one.state is TransferState.FULLSUCCESS
            if entry.kind is Kind.FILE and index not in state.ended and not arrived:
                reason = _changed(entry)
                if reason:
                    raise SourceError(
                        f"{names.shown(entry.source)}: {reason}; nothing was resumed",
                        hint="cancel the transfer, finalize, and hand the files over again",
                    )


def _changed(entry: Entry) -> str:
    """Why the source is not what was recorded; "" if it is."""
    try:
        info = os.lstat(entry.source)
    except OSError as error:
        return f"the source cannot be seen from here ({error.strerror})"
    if not stat.S_ISREG(info.st_mode):
        return "the source is not a regular file any more"
    if info.st_size != entry.meta.size:
        return f"the source has {info.st_size} bytes now, {entry.meta.size} were recorded"
    if info.st_mtime_ns != entry.meta.mtime_ns:
        return "the source was written since it was recorded: its mtime is another"
    return ""
