"""Making way for a new transfer of a part: the earlier one is cancelled, its partial files go."""

import os

from poststage import names
from poststage.agent import explain
from poststage.agent.reopened import Earlier
from poststage.backends.base import Answer
from poststage.durable import fsops
from poststage.errors import BackendError, RunAgainError, UsageError
from poststage.model import Kind, State, TransferState, Verdict

_HINT = "run finalize first, then hand over again"


def make_way(earlier: Earlier) -> None:
    """Cancel `earlier`, delete its partial temp files and its record; it is as if it never was.

    A kill in between leaves a cancelled transfer, which the finalizer ends alike.

    Raises:
        UsageError: something of it has arrived that is not published: it would be lost.
        BackendError: the backend does not answer; nothing was touched.
        RunAgainError: its agent is still at it, or the backend has not stopped yet.
    """
    what = f"state file {names.shown(earlier.path)}"
    state, answer = earlier.state(), earlier.answer()
    if answer.state is TransferState.UNKNOWN:
        raise BackendError(f"{what}: {answer.reason}; it was not replaced")
    arrived = _arrived(state, answer)
    if arrived:
        raise UsageError(f"{what}: {arrived} of its files have arrived; not replaced", hint=_HINT)
    if not answer.state.ended and not earlier.cancel().ended:
        raise RunAgainError(f"{what}: is cancelled, and its backend still writes; not replaced yet")
    with explain.explained(what, "it was not replaced"):
        _drop_temps(state)
    earlier.remove()


def _arrived(state: State, answer: Answer) -> int:
    """How many files have arrived and have no verdict yet."""
    files = {
        index
        for index, entry in enumerate(state.entries)
        if entry.kind is Kind.FILE and index not in state.ended
    }
    if not answer.files and answer.state is TransferState.FULLSUCCESS:
        return len(files)
    whole = {i for i, one in answer.files.items() if one.state is TransferState.FULLSUCCESS}
    return len(files & whole)


def _drop_temps(state: State) -> None:
    """Delete exactly the temp names that the record lists and that are plain files of ours."""
    directories: dict[bytes, list[bytes]] = {}
    for index, entry in enumerate(state.entries):
        ended = state.ended.get(index)
        if entry.kind is Kind.FILE and (ended is None or ended.verdict is not Verdict.PUBLISHED):
            directories.setdefault(names.split(entry.destination)[0], []).append(entry.temp)
    for directory, temps in directories.items():
        try:
            dir_fd = fsops.open_dir(directory)
        except FileNotFoundError:
            continue
        try:
            for temp in temps:
                _drop(dir_fd, temp)
            fsops.sync(dir_fd)
        finally:
            os.close(dir_fd)


def _drop(dir_fd: int, temp: bytes) -> None:
    info = fsops.facts(dir_fd, temp)
    if info is None or not fsops.is_regular(info):
        return
    if info.st_nlink == 1 and info.st_uid == os.geteuid():
        fsops.unlink(dir_fd, temp)
