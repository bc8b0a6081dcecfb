"""From a Rabbit's data movements to the answer for one transfer: pure."""

from collections.abc import Sequence

from poststage.backends.base import Answer, FileAnswer
from poststage.backends.nnf_daemon import Movement
from poststage.model import TransferState

_NO_TRACE = "no data movement of it is known: its records are gone, or nothing of it was started"
MAY_BE_OURS = "a data movement has not told yet what it moves"
# Of several movements of one file, or files of one transfer, the first of these counts.
_OPEN = (TransferState.UNKNOWN, TransferState.INPROGRESS)
_OF_ONE_FILE = (*_OPEN, TransferState.FULLSUCCESS, TransferState.FAILED, TransferState.CANCELED)


def answer(movements: Sequence[Movement], tag: str) -> Answer:
    """What a workflow's movements say of the transfer `tag`."""
    files = files_of(movements, tag)
    unplaced = any(one.unplaced for one in movements)
    if not files:
        if unplaced:
            return Answer(TransferState.INPROGRESS, reason=MAY_BE_OURS)
        return Answer(TransferState.UNKNOWN, reason=_NO_TRACE)
    states = {one.state for one in files.values()}
    for state in _OPEN:
        if state in states:
            return Answer(state, files)
    if unplaced:
        return Answer(TransferState.INPROGRESS, reason=MAY_BE_OURS)
    if len(states) == 1:
        return Answer(states.pop(), files)
    cancelled = TransferState.CANCELED in states
    return Answer(TransferState.CANCELED if cancelled else TransferState.PARTIALSUCCESS, files)


def files_of(movements: Sequence[Movement], tag: str) -> dict[int, FileAnswer]:
    """Index → answer for the transfer's files."""
    found: dict[int, FileAnswer] = {}
    for one in movements:
        if one.tag != tag:
            continue
        before = found.get(one.index)
        if before is None or _OF_ONE_FILE.index(one.state) < _OF_ONE_FILE.index(before.state):
            found[one.index] = FileAnswer(one.state, one.reason)
    return found
