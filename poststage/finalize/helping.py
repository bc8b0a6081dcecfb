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
_LOOK_FIRST_S, _LOOK_MOST_S = 0.05, 1.0  # between two looks for rank 0's word


def help_finalize(
    state_dir: Path, options: Options, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Work for rank 0 on what it gives, until it has no more.

    The report tells of nothing but whether it can be relied on: 75 if rank 0 was not met, or
    went away, and something is left to do.

    Raises: as `finalize_dir`.
    """
    run = Run(state_dir.absolute(), options, stop)
    try:
        code = _Helper(run, stop).code()
    finally:
        run.close()
    return Report(shown(os.fsencode(state_dir)), code, ())


class _Helper:
    def __init__(self, run: Run, stop: Callable[[], bool]) -> None:
        self._run, self._stop, self._began = run, stop, time.time()

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
                    line.send(ranks.done_of(self._worked(task)))
        except (OSError, EOFError, msgspec.DecodeError):
            return False
        return False

    def _worked(self, task: ranks.Task) -> Result:
        base, held = os.fsencode(self._run.state_dir), set(task.held)
        some = [ranks.pending_of(directory, name, base) for directory, name in task.files]

        def visit(windows: Windows, few: Collection[Pending]) -> Result:
            return windows.run(few, wait=task.wait, held=held.__contains__)

        chosen = crew(self._run.options.jobs, len(some), self._run.call_s(some))
        return shared_out(self._run.lent_windows, some, chosen, visit, self._stop)
