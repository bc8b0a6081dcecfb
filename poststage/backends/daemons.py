"""Mover and probe over a copying daemon's socket; what the emulator and `local` share."""

import re
from collections.abc import Mapping, Sequence

from poststage import names
from poststage.backends.base import Answer, FileAnswer, Item
from poststage.copier import protocol as p
from poststage.copier.client import Session
from poststage.copier.records import HANDLE_PATTERN, ItemRecord, OutcomeRecord
from poststage.errors import BackendError
from poststage.model import TransferState

_HANDLES = 1000  # in one request
_TAGS = 5000  # in one find request


def make_handle(session: Session, tag: str) -> str:
    """The daemon's handle of `tag`. Raises BackendError."""
    reply = session.ask(p.MakeHandle(tag))
    if not isinstance(reply, p.HandleReply):
        raise BackendError(f"transfer {tag}: the daemon answered something else")
    return reply.handle


def start(session: Session, handle: str, items: Sequence[Item]) -> None:
    """Hand over and start. Raises BackendError."""
    session.add(handle, [record_of(item) for item in items])
    session.ask(p.Start(handle, len(items)))


def record_of(item: Item) -> ItemRecord:
    """`item` as the daemon takes it."""
    source, target = names.to_text(item.source), names.to_text(item.target)
    return ItemRecord(item.index, source, target, item.size, item.mtime_ns)


def find(session: Session, tags: Sequence[str]) -> dict[str, str]:
    """Tag → handle for those that the daemon knows. Raises BackendError."""
    found: dict[str, str] = {}
    for first in range(0, len(tags), _TAGS):
        reply = session.ask(p.Find(list(tags[first : first + _TAGS])))
        if isinstance(reply, p.FoundReply):
            found.update(reply.handles)
    return found


def statuses(session: Session, handles: Sequence[str]) -> dict[str, Answer]:
    """The daemon's answers. Raises BackendError."""
    found = dict(unknown(handles, "is not a handle of this backend"))
    possible = [handle for handle in handles if re.fullmatch(HANDLE_PATTERN, handle)]
    for first in range(0, len(possible), _HANDLES):
        found.update(answers_of(session, p.Status(possible[first : first + _HANDLES])))
    return found


def forget(session: Session, handles: Sequence[str]) -> None:
    """As `Probe.forget`. Raises BackendError."""
    possible = [handle for handle in handles if re.fullmatch(HANDLE_PATTERN, handle)]
    for first in range(0, len(possible), _HANDLES):
        session.ask(p.Forget(possible[first : first + _HANDLES]))


def answers_of(session: Session, request: p.AnyRequest) -> dict[str, Answer]:
    """The answers that the replies to `request` make up, by handle. Raises BackendError."""
    found: dict[str, list[p.StatusReply]] = {}
    for reply in session.ask_all(request):
        if isinstance(reply, p.StatusReply):
            found.setdefault(reply.handle, []).append(reply)
    return {handle: _answer(replies) for handle, replies in found.items()}


def _answer(replies: Sequence[p.StatusReply]) -> Answer:
    head = replies[0]
    waiting = _waiting(TransferState(head.state))
    files: dict[int, FileAnswer] = {}
    for reply in replies:
        files.update(dict.fromkeys(reply.open, waiting))
        files.update({record.index: file_answer(record) for record in reply.files})
    return Answer(TransferState(head.state), files, head.reason, head.bytes_done)


def _waiting(state: TransferState) -> FileAnswer:
    """What is said of a file that has not ended, in a transfer of this state."""
    return FileAnswer(state if not state.ended else TransferState.CANCELED)


def file_answer(record: OutcomeRecord) -> FileAnswer:
    """The answer that an outcome is."""
    reason = names.from_text(record.reason).decode("utf-8", "surrogateescape")
    return FileAnswer(TransferState(record.state), reason, record.mtime_ns)


def unknown(handles: Sequence[str], reason: str) -> Mapping[str, Answer]:
    """UNKNOWN for each of `handles`."""
    return dict.fromkeys(handles, Answer(TransferState.UNKNOWN, reason=reason))
