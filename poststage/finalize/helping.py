"""The other ranks' side: help rank 0 with one STATEDIR until it says that all is done."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize import ranks
from poststage.finalize.options import Options
from poststage.finalize.parallel import crew, shared_out
from poststage.finalize.pending import Pending
from poststage.finalize.report import Report
from poststage.finalize.run import Run
from poststage.finalize.window import Result, Windows
from poststage.names import shown

_LOOK_S = 0.2
_GONE_LOOK_S = 0.02
_LOOK_FIRST_S, _LOOK_MOST_S = 0.05, 1.0  # between two looks for rank 0's word


def help_finalize(
    state_dir: Path, options: Options, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Work for rank 0 on what it gives, until it has no more.

    The report tells of nothing but whether it can be relied on: 75 if rank 0 was not met, or
    went away, and something is left to do.

    Raises: as `finalize_dir`.
    """
    helper = _Helper(state_dir.absolute(), options, stop)
    try:
        code = helper.code()
    finally:
        helper.close()
    return Report(shown(os.fsencode(state_dir)), code, ())


class _Helper:
    def __init__(self, state_dir: Path, options: Options, stop: Callable[[], bool]) -> None:
        self._stop, self._began, self._looked = stop, time.time(), 0.0
        self._works_for: ranks.Line | None = None
        self._gone = False
        self._run = Run(state_dir, options, self._stops)
        self.close = self._run.close

    def _stops(self) -> bool:
        """Whether to stop at the next file: asked to, or rank 0 has gone. The lock was its own,
        so another run may have begun; while a task is worked on it says nothing else."""
        now = time.monotonic()
        if self._works_for is not None and not self._gone and now - self._looked >= _GONE_LOOK_S:
            self._looked, self._gone = now, self._works_for.is_heard(0)
        return self._gone or self._stop()

    def code(self) -> ExitCode:
        """Help rank 0 as long as there is something to do."""
        pause = _LOOK_FIRST_S
        while not self._run.stopped():
            line = self._line()
            if line is not None:
                try:
                    return ExitCode.OK if self._helped(line) else self._left_alone()
                finally:
                    line.close()
            if self._is_over():
                return ExitCode.OK
            self._run.sleep(pause)
            pause = min(2 * pause, _LOOK_MOST_S)
        return ExitCode.RUN_AGAIN

    def _line(self) -> ranks.Line | None:
        fd = fsops.open_dir(os.fsencode(self._run.state_dir))
        try:
            return ranks.call(fd)
        finally:
            os.close(fd)

    def _is_over(self) -> bool:
        fd = fsops.open_dir(os.fsencode(self._run.state_dir))
        try:
            return ranks.is_over(fd, self._began) or not self._run.is_pending()
        finally:
            os.close(fd)

    def _left_alone(self) -> ExitCode:
        """Rank 0 has gone without a last word: what it held is for a later run."""
        return ExitCode.RUN_AGAIN if self._run.is_pending() else ExitCode.OK

    def _helped(self, line: ranks.Line) -> bool:
        """Whether rank 0 has said that it is over."""
        try:
            while not self._run.stopped():
                if line.is_heard(_LOOK_S):
                    task = line.task()
                    if not task.files:
                        return True
                    line.send(ranks.done_of(self._worked(task, line)))
        except (OSError, EOFError, msgspec.DecodeError):
            return False
        return False

    def _worked(self, task: ranks.Task, line: ranks.Line) -> Result:
        base, held = os.fsencode(self._run.state_dir), set(task.held)
        some = [ranks.pending_of(directory, name, base) for directory, name in task.files]

        def visit(windows: Windows, few: Collection[Pending]) -> Result:
            return windows.run(few, wait=task.wait, held=held.__contains__)

        chosen = crew(self._run.options.jobs, len(some), self._run.call_s(some))
        self._works_for = line
        try:
            return shared_out(self._run.lent_windows, some, chosen, visit, self._stops)
        finally:
            self._works_for = None
