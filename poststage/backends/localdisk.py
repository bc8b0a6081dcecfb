"""What the disk tells of transfers of the `local` backend, where no daemon can be asked."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from poststage.backends import daemons
from poststage.backends.base import Answer, FileAnswer
from poststage.copier import ending, queue
from poststage.copier import root as roots
from poststage.copier.records import HANDLE_PATTERN
from poststage.copier.transfer import Transfer
from poststage.durable import fsops
from poststage.model import TransferState

FOLDER = ".local"
HOST_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"
_HANDLE = re.compile(f"({HOST_PATTERN}):({HANDLE_PATTERN})")


def parse(handle: str) -> tuple[str, str]:
    """Host and the daemon's own handle; ValueError for what this backend never gave."""
    match = _HANDLE.fullmatch(handle)
    if match is None:
        raise ValueError("is not a handle of this backend")
    return match[1], match[2]


def root_of(state_dir: Path, host: str) -> Path:
    """The root of the daemon of `host`."""
    return state_dir / FOLDER / host


@contextmanager
def open_queue(root: Path) -> Iterator[int]:
    """The queue directory below `root`, for reading. OSError passes."""
    fd = os.open(root / os.fsdecode(roots.QUEUE), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def answers(
    queue_fd: int, handles: Sequence[str], host: str, *, nobody_copies: bool
) -> dict[str, Answer]:
    """`answer` for each of `handles`; UNKNOWN where the journal is missing or damaged."""
    found: dict[str, Answer] = {}
    for handle in handles:
        try:
            found[handle] = answer(queue_fd, handle, host, nobody_copies=nobody_copies)
        except (OSError, ValueError) as error:
            reason = f"its queue journal on {host} cannot be read: {error}"
            found[handle] = Answer(TransferState.UNKNOWN, reason=reason)
    return found


def answer(queue_fd: int, handle: str, host: str, *, nobody_copies: bool) -> Answer:
    """How the transfer stands by its journal. OSError and ValueError: it cannot be read.

    `nobody_copies`: the caller holds the root's lock, so what is open is STOPPED. From
    another host it is so only if its daemon has journaled it.
    """
    asked = queue.is_cancel_asked(queue_fd, handle)  # before the journal, see ask_cancel
    transfer, _ = queue.read(queue_fd, handle)
    state = transfer.state
    if state is TransferState.INPROGRESS and nobody_copies:
        state = TransferState.STOPPED
    if asked and state in {TransferState.STOPPED, TransferState.NOTSTARTED}:
        return Answer(TransferState.CANCELED, _cancelled_files(transfer), "cancelled on disk")
    reason = ""
    if state is TransferState.STOPPED:
        reason = f"`poststage resume` on {host} continues it"
    if state is TransferState.INPROGRESS:
        reason = f"the copier of {host} has not told of its end; only {host} can tell more"
    return Answer(state, _files(transfer, state), reason, transfer.bytes_done({}))


def _files(transfer: Transfer, state: TransferState) -> dict[int, FileAnswer]:
    files = dict.fromkeys((item.index for item in transfer.open_items()), FileAnswer(state))
    ended = {index: daemons.file_answer(record) for index, record in transfer.outcomes.items()}
    return {**files, **ended}


def _cancelled_files(transfer: Transfer) -> dict[int, FileAnswer]:
    """Cancelled, but for failures and for what a finalizer has taken already."""
    if not transfer.started:
        return {}
    files = _files(transfer, TransferState.CANCELED)
    cancelled = FileAnswer(TransferState.CANCELED, "the transfer was cancelled")
    return {**files, **dict.fromkeys(ending.to_cancel(transfer), cancelled)}


def forget(root: Path, handles: Sequence[str]) -> None:
    """Remove what is kept of those of `handles` that have ended; `root` too if that was all.

    A copier that still has the root ends when it sees that it is gone. OSError passes.
    """
    with open_queue(root) as queue_fd:
        queue.forget(queue_fd, handles)
    folder_fd = fsops.open_dir(os.fsencode(root.parent))
    try:
        if roots.remove_if_empty(folder_fd, os.fsencode(root.name)):
            fsops.sync(folder_fd)
    finally:
        os.close(folder_fd)


def handles_by_tag(state_dir: Path) -> dict[str, str]:
    """Tag → handle of every transfer of every host. OSError passes."""
    found: dict[str, str] = {}
    for host in sorted(os.listdir(state_dir / FOLDER)):
        if not re.fullmatch(HOST_PATTERN, host):
            continue
        try:
            with open_queue(root_of(state_dir, host)) as queue_fd:
                own = queue.journals(queue_fd)
        except FileNotFoundError:  # its daemon has not come that far
            continue
        found.update({handle.partition("-")[2]: f"{host}:{handle}" for handle in own})
    return found
