"""Rank 0's side: state files that the other ranks take off it.

Whoever comes is given the next few, and more when it says what came of them. If it goes away
without a word, they are taken up again by those who are left.
"""

import os
import threading
from collections.abc import Callable
from itertools import count

import msgspec

from poststage.durable import fsops
from poststage.finalize.parallel import Taking, lost
from poststage.finalize.pending import Pending
from poststage.finalize.ranks import Ear, Line, Task, leave_last_word, result_of
from poststage.finalize.window import Held, Result

_LOOK_S = 0.1
_LAST_WORDS_S = 3.0  # for what a stopped rank still has to say


class Guests:
    """The other ranks of a run, one thread each. `close` when the run has ended."""

    def __init__(self, state_dir: bytes, state_dir_fd: int, ranks: int) -> None:
        """Begin to listen. Raises OSError where that cannot be."""
        self.ranks = ranks
        self._base, self._dir_fd = state_dir, state_dir_fd
        self._ear = Ear()
        self._changed = threading.Condition()
        self._offer: Taking | None = None
        self._terms: tuple[bool, Held] = False, bool
        self._out: dict[int, list[Pending]] = {}
        self._came = Result({}, [], [])
        self._ended = False
        self._numbers = count()
        self._ear.leave_word(state_dir_fd)
        threading.Thread(target=self._listen, daemon=True).start()

    def on_terms(self, *, wait: bool, held: Held) -> "Guests":
        """What is lent from now on is worked on like this."""
        self._terms = wait, held
        return self

    def lend(self, taking: Taking) -> None:
        """As `Host.lend`."""
        with self._changed:
            self._offer = taking
            self._changed.notify_all()

    def settled(self, taking: Taking, stop: Callable[[], bool]) -> bool:
        """Wait until they have all said what came of it; False if some of it came back instead."""
        patience = 0.0
        with self._changed:
            while self._out and not taking.returned:
                if stop():
                    patience += _LOOK_S
                if patience >= _LAST_WORDS_S:
                    break
                self._changed.wait(_LOOK_S)
            return not taking.returned or stop()

    def collected(self) -> Result:
        """What came of everything that was lent; what is still out counts as lost."""
        with self._changed:
            offer, self._offer = self._offer, None
            if offer is not None and offer.returned:
                self._came.add(lost(offer.returned))
            total, self._came = self._came, Result({}, [], [])
            for some in self._out.values():
                total.add(lost(some))
            self._out.clear()
            return total

    def close(self) -> None:
        """Tell them that it is over."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._changed.notify_all()
        self._ear.close()
        leave_last_word(self._dir_fd)
        os.close(self._dir_fd)

    def _listen(self) -> None:
        while not self._ended:
            try:
                line = self._ear.next()
            except OSError:  # closed; or too few descriptors for a moment
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, _LOOK_S)
                continue
            if line is not None:
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: Line) -> None:
        try:
            while self._one_task(line):
                pass
        finally:
            line.close()

    def _one_task(self, line: Line) -> bool:
        """Give it a task and hear what came of it; whether there may be another one."""
        number, some, wait, held = self._taken()
        try:
            names = [(one.directory, one.name) for one in some]
            back = sorted({one.directory for one in some if held(one.directory)})
            line.send(Task(wait, names, back))
            if not some:
                return False
            result = result_of(line.done(), self._base)
        except (OSError, EOFError, msgspec.DecodeError):
            self._give_back(number)
            return False
        with self._changed:
            if self._out.pop(number, None) is not None:
                self._came.add(result)
            self._changed.notify_all()
        return True

    def _taken(self) -> tuple[int, list[Pending], bool, Held]:
        """The next few, when there are any; none at the end."""
        with self._changed:
            while not self._ended:
                if self._offer is not None and (some := self._offer.next_for_guest()):
                    number = next(self._numbers)
                    self._out[number] = some
                    return number, some, *self._terms
                self._changed.wait(_LOOK_S)
        return -1, [], False, bool

    def _give_back(self, number: int) -> None:
        with self._changed:
            some = self._out.pop(number, None)
            if some and self._offer is not None:
                self._offer.give_back(some)
            self._changed.notify_all()


def listening(state_dir: bytes, ranks: int) -> Guests | None:
    """Rank 0's guests; None where it cannot listen: then it does all by itself."""
    try:
        fd = fsops.open_dir(state_dir)
    except OSError:
        return None
    try:
        return Guests(state_dir, fd, ranks)
    except OSError:
        os.close(fd)
        return None
