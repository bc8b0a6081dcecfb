"""Asking backends: one probe each, opened when first needed; no answer is an answer."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from poststage import backends
from poststage.backends.base import Answer, Context, Probe
from poststage.config import Settings
from poststage.errors import BackendError, PoststageError
from poststage.finalize.pending import Pending
from poststage.model import TransferState
from poststage.statefile import axl

_NOTHING_TO_MOVE = Answer(TransferState.FULLSUCCESS)
_COPIED_BY_ITSELF = Answer(TransferState.PARTIALSUCCESS, reason="nobody copies it any more")
_PATIENCE_LEAST_S = 0.5
AGENT_STOPPED = "its agent was stopped while recording; nothing of it was started"
NEVER_STARTED = "its transfer was never started: the job ended first"


class Probes:
    """The probes of one run. `close` when done."""

    def __init__(
        self,
        settings: Settings,
        state_dir: Path,
        *,
        may_cancel: bool = True,
        deadline_s: float = math.inf,
    ) -> None:
        """With a deadline, a backend that keeps silent is given a third of it at most."""
        self._settings = settings
        self._patience_s = round(max(deadline_s / 3, _PATIENCE_LEAST_S), 1)
        self._silent: dict[str, tuple[float, str]] = {}
        """Backend → until when it is not asked again, and what became of the last question."""
        self._may_cancel = may_cancel
        self._state_dir = state_dir
        self._open: dict[str, Probe | PoststageError] = {}
        self._asking = threading.Lock()  # a vendor's library is called by one thread at a time

    def answers(self, pendings: Iterable[Pending]) -> dict[bytes, Answer]:
        """One answer for each state file (by its path), in one round trip per backend."""
        result: dict[bytes, Answer] = {}
        asked: dict[str, list[Pending]] = {}
        for pending in pendings:
            answer = _without_asking(pending)
            if answer is not None:
                result[pending.path] = answer
            else:
                asked.setdefault(pending.backend, []).append(pending)
        for name, group in asked.items():
            with self._asking:
                result.update(self._ask(name, group))
        return result

    def close(self) -> None:
        """Close every probe."""
        for probe in self._open.values():
            if not isinstance(probe, PoststageError):
                probe.close()

    def _ask(self, name: str, group: list[Pending]) -> Mapping[bytes, Answer]:
        probe = self._probe(name)
        if isinstance(probe, PoststageError):
            return dict.fromkeys((one.path for one in group), _unknown(probe))
        until, reason = self._silent.get(name, (0.0, ""))
        begin = time.monotonic()
        if begin < until:
            answer = Answer(TransferState.UNKNOWN, reason=reason)
            return dict.fromkeys((one.path for one in group), answer)
        try:
            answers = _asked(probe, group, may_cancel=self._may_cancel)
        except BackendError as error:
            answers = dict.fromkeys((one.path for one in group), _unknown(error))
        self._note_silence(name, answers, time.monotonic() - begin)
        return answers

    def _note_silence(self, name: str, answers: Mapping[bytes, Answer], took_s: float) -> None:
        """One that used up our patience is not asked for every window of state files anew."""
        unknown = [one for one in answers.values() if one.state is TransferState.UNKNOWN]
        if len(unknown) == len(answers) and took_s >= _PATIENCE_LEAST_S:
            self._silent[name] = (time.monotonic() + 10 * took_s, unknown[0].reason)

    def _probe(self, name: str) -> Probe | PoststageError:
        if name not in self._open:
            try:
                backend = backends.load(name, self._settings)
                context = backends.context(backend, self._settings, self._state_dir)
                self._open[name] = backend.open_probe(self._hurried(context))
            except PoststageError as error:
                self._open[name] = error
        return self._open[name]

    def _hurried(self, context: Context) -> Context:
        """`context` with no timeout longer than our patience."""
        timeout_s = context.settings.get("timeout_s")
        if timeout_s is None or timeout_s <= self._patience_s:
            return context
        settings = {**context.settings, "timeout_s": self._patience_s}
        return Context(context.state_dir, settings)


def _asked(probe: Probe, group: list[Pending], *, may_cancel: bool) -> Mapping[bytes, Answer]:
    """Answers for `group`; what can never start any more is made sure of by a cancel."""
    missing = [one.tag for one in group if one.handle is None]
    found = probe.find(missing) if missing else {}
    handles = {one.path: one.handle or found.get(one.tag) for one in group}
    answers = probe.answers([handle for handle in handles.values() if handle is not None])
    result: dict[bytes, Answer] = {}
    for one in group:
        handle = handles[one.path]
        if handle is None:
            result[one.path] = _not_found(one)
            continue
        answer = answers.get(handle, Answer(TransferState.UNKNOWN, reason="no answer"))
        cancel = partial(probe.cancel, handle) if may_cancel else _would_cancel
        result[one.path] = _settled(answer, one, cancel)
    return result


def _not_found(one: Pending) -> Answer:
    """A transfer without a handle that its backend does not know by its tag either."""
    if one.started:
        reason = "its transfer was started, and the backend does not know it"
        return Answer(TransferState.UNKNOWN, reason=reason)
    return Answer(TransferState.CANCELED, reason=NEVER_STARTED)


def _would_cancel() -> Answer:
    """What a dry run takes a cancel to come to."""
    return Answer(TransferState.CANCELED)


def _settled(answer: Answer, one: Pending, cancel: Callable[[], Answer]) -> Answer:
    """`answer`, but a transfer that nobody will start or that was cancelled is cancelled first."""
    if answer.state is TransferState.NOTSTARTED:
        after = cancel()
        if after.state is TransferState.CANCELED:
            return Answer(after.state, after.files, after.reason or NEVER_STARTED)
        return after
    if one.cancelled and not answer.state.ended and answer.state is not TransferState.UNKNOWN:
        return cancel()
    return answer


def _without_asking(pending: Pending) -> Answer | None:
    if pending.agent_alive:
        return Answer(TransferState.INPROGRESS, reason="its agent is still recording it")
    if not pending.recorded:
        reason = AGENT_STOPPED
        if pending.backend == axl.BACKEND:
            reason = axl.NEVER_DISPATCHED
        return Answer(TransferState.CANCELED, reason=reason)
    if pending.backend == axl.BACKEND and pending.moves_files:
        return _COPIED_BY_ITSELF
    return None if pending.moves_files else _NOTHING_TO_MOVE


def _unknown(error: PoststageError) -> Answer:
    return Answer(TransferState.UNKNOWN, reason=error.message)
