"""One quiet line on a terminal while finalize waits; nothing anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from poststage.cli.render import count
from poststage.finalize.options import LOCKED, Waits

if TYPE_CHECKING:
    from rich.status import Status

_PATIENCE_S = 1.0  # what is over sooner is not worth a line


class _Line:
    """The line; rich is imported when there is something to show."""

    def __init__(self, deadline_s: float) -> None:
        self._until = time.strftime("%H:%M:%S", time.localtime(time.time() + deadline_s))
        self._since: float | None = None
        self._status: Status | None = None

    def show(self, waiting: int) -> None:
        """Say what is waited for; 0 for nothing."""
        now = time.monotonic()
        self._since = (self._since or now) if waiting else None
        if self._since is None:
            self.clear()
        elif self._status is not None or now - self._since >= _PATIENCE_S:
            self._say(_words(waiting, self._until))

    def clear(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _say(self, words: str) -> None:
        if self._status is not None:
            self._status.update(words)
            return
        from rich.console import Console

        self._status = Console(file=sys.stderr, highlight=False, markup=False).status(words)
        self._status.start()


def _words(waiting: int, until: str) -> str:
    if waiting == LOCKED:
        return f"another finalizer holds this state directory; waiting until {until} at most"
    return f"{count(waiting, 'transfer')} still running; waiting until {until} at most"


@contextmanager
def shown(deadline_s: float) -> Iterator[Waits | None]:
    """What is to be told while the block waits; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    line = _Line(deadline_s)
    try:
        yield line.show
    finally:
        line.clear()
