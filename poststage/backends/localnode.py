"""The copier of one host below STATEDIR/.local: asking it, starting it, acting in its place."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from poststage import names
from poststage.backends import localdisk
from poststage.backends.base import Context
from poststage.copier import ending, queue
from poststage.copier import root as roots
from poststage.copier.client import BackendAwayError, Session, session
from poststage.copier.daemon import START_TIMEOUT_S, spawn
from poststage.copier.records import EventRecord
from poststage.durable import fsops, lock
from poststage.errors import RunAgainError

_Result = TypeVar("_Result")


class Node:
    """The copier of `host`; made on that host if it is to be started."""

    def __init__(self, context: Context, host: str) -> None:
        self.host, self._settings = host, context.settings
        self.state_dir = Path(os.path.abspath(context.state_dir))
        self.root = localdisk.root_of(self.state_dir, host)

    def asked(self, question: Callable[[Session], _Result]) -> _Result:
        """What `question` gets from the copier. Raises BackendError."""
        with session(self.root, float(self._settings["timeout_s"])) as daemon:
            return question(daemon)

    def asked_once_started(self, question: Callable[[Session], _Result]) -> _Result:
        """As `asked`; a copier that is not there is started. `question` is harmless twice.

        Raises:
            PoststageError: it cannot be started, or does not answer.
        """
        try:
            return self.asked(question)
        except BackendAwayError:
            self._start()
        return self.asked(question)

    def _start(self) -> None:
        """Start the copier unless somebody else has it or does it just now."""
        self._make_folders()
        shown = names.shown(str(self.root))
        with lock.held(self.root / roots.STARTING, timeout_s=START_TIMEOUT_S, what=shown):
            if roots.is_free(self.root):
                spawn("poststage.copier", self._arguments())

    def in_its_place(self, act: Callable[[int], _Result]) -> _Result | None:
        """What `act` gets from the queue directory while no copier runs here.

        None if one runs, or if the root is another's, where nobody is kept out by a lock.
        OSError passes.
        """
        if os.stat(self.root, follow_symlinks=False).st_uid != os.geteuid():
            return None
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    lock.held(self.root / roots.LOCK, timeout_s=0, what=str(self.root))
                )
            except RunAgainError:
                return None
            return act(stack.enter_context(localdisk.open_queue(self.root)))

    def _make_folders(self) -> None:
        folder = self.root.parent
        state_fd = fsops.open_dir(os.fsencode(folder.parent))
        try:
            if fsops.make_dir(state_fd, os.fsencode(folder.name), 0o700):
                fsops.sync(state_fd)
        finally:
            os.close(state_fd)
        os.close(roots.open_root(self.root))

    def _arguments(self) -> list[str]:
        settings = self._settings
        return [
            f"--root={self.root}",
            f"--threads={settings['threads']}",
            f"--bytes-per-s={settings['limit_mb_s'] * 1e6}",
            f"--prove-bytes={settings['progress_mb'] * 10**6}",
            f"--idle-s={settings['idle_s']}",
        ]


def cancel_in_place(queue_fd: int, handle: str) -> bool:
    """Cancel a transfer whose copier does not run; the caller holds its lock. True.

    Raises:
        BackendError: the journal cannot be written.
        OSError, ValueError: it cannot be read.
    """
    transfer, whole = queue.read(queue_fd, handle)
    if transfer.end is not None:
        return True
    book = queue.Book(queue_fd, transfer, whole)
    with book.changed:
        if not transfer.cancelled:
            book.put(EventRecord("cancelled", time.time_ns()))
            book.sync()
        ending.end_cancelled(book)
    return True
