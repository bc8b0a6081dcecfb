"""The whole run over one STATEDIR, as whoever runs it: lock, scan, windows, waiting, reports."""

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from poststage.durable import lock
from poststage.errors import (
    ExitCode,
    PermissionRefusedError,
    PoststageError,
    RunAgainError,
    UsageError,
    worst,
)
from poststage.finalize import records, requeue, whole
from poststage.finalize.dirs import open_most
from poststage.finalize.hosting import Guests, listening
from poststage.finalize.listed import Listed, by_directory
from poststage.finalize.options import LOCKED, Options
from poststage.finalize.parallel import crew, shared_out
from poststage.finalize.pending import Pending
from poststage.finalize.probes import Probes
from poststage.finalize.report import DatasetReport, Report, dataset_code
from poststage.finalize.scan import Group, scan
from poststage.finalize.tally import Tally
from poststage.finalize.window import Held, Result, Windows, probes_of
from poststage.finalize.work import Pool, deadline
from poststage.names import shown
from poststage.statefile.layout import LOCK_NAME

_POLL_FIRST_S = 0.05
_POLL_MOST_S = 2.0
_LOCK_SLICE_S = 0.2
_LOOK_EACH = 4  # files; a look whether to stop takes as long as a system call


def finalize_dir(
    state_dir: Path, options: Options, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Finalize every pending state file below `state_dir`; safe to run again at any time.

    `stop` is asked between files; once true, the run ends cleanly and the rest is 75.

    Raises:
        UsageError: `state_dir` is not a directory.
        PermissionRefusedError: it cannot be read.
        RunAgainError: another finalizer holds it until the deadline.
    """
    run = Run(state_dir.absolute(), options, stop)
    try:
        return run.all()
    finally:
        run.close()


class Run:
    """One run: what it was asked, and what it has counted so far."""

    def __init__(self, state_dir: Path, options: Options, stop: Callable[[], bool]) -> None:
        self.state_dir = state_dir
        self.options = options
        self.left = deadline(options.deadline_s)
        self._end = time.monotonic() + options.deadline_s
        self._stop = stop
        self._pid = os.getpid()
        self.started = time.monotonic()
        self._probes: dict[int, Probes] = {}
        self._free: dict[tuple[int, int], list[Windows]] = {}
        self._guests: Guests | None = None
        self._call_s: float | None = None
        self.windows = self._new_windows()
        self.total = Result({}, [], [])
        self.notes: list[str] = []
        self.codes: set[ExitCode] = set()

    def close(self) -> None:
        """Let go of backends and directories."""
        self.windows.close()
        for (pid, _), free in self._free.items():
            for windows in free if pid == self._pid else ():
                windows.close()
        self._probes[self._pid].close()

    def all(self) -> Report:
        """The run."""
        groups = self._scan()
        if self.options.dry_run or not any(group.pending for group in groups):
            return self._groups(groups)
        with ExitStack() as stack:
            lock_of(self.state_dir, self.left, self._stopped_while_locked, stack)
            if self.options.requeued:
                return self._put_aside(self._scan())
            self._guests = self._listening(stack)
            return self._groups(self._scan())

    def _stopped_while_locked(self) -> bool:
        self._waits(LOCKED)
        return self.stopped()

    def _waits(self, count: int) -> None:
        if self.options.waits is not None:
            self.options.waits(count)

    def _listening(self, stack: ExitStack) -> Guests | None:
        if self.options.ranks <= 1:
            return None
        guests = listening(os.fsencode(self.state_dir), self.options.ranks)
        if guests is not None:
            stack.callback(guests.close)
        return guests

    def is_pending(self) -> bool:
        """Whether there is anything to do."""
        return any(group.pending for group in self._scan())

    def stopped(self) -> bool:
        """Whether to stop at the next file: asked to, or out of time."""
        return self._stop() or time.monotonic() >= self._end

    def _scan(self) -> list[Group]:
        refused: list[OSError] = []
        try:
            only_roots = self.options.restore_owners
            groups = list(scan(os.fsencode(self.state_dir), refused, only_roots=only_roots))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{shown(os.fsencode(self.state_dir))}: is not a directory: {error.strerror}",
                hint="--dir names the directory that the job's agents wrote state files to",
            ) from error
        except PermissionError as error:
            raise PermissionRefusedError(
                f"{shown(os.fsencode(self.state_dir))}: cannot be read: {error.strerror}"
            ) from error
        self.notes = [_note(one) for one in refused]
        self.codes = {_code(one) for one in refused}
        return groups

    def _groups(self, groups: list[Group]) -> Report:
        pending = Listed(self.state_dir, groups)
        if self.options.publish == "dataset":
            self._by_dataset(groups, pending)
        else:
            self._visit(pending, wait=self._may_wait(), held=lambda directory: False)
        return self._told([self._report(group) for group in groups])

    def _put_aside(self, groups: list[Group]) -> Report:
        self.notes.append(requeue.put_aside(self.state_dir, groups, self.options.job))
        return self._told([])

    def _told(self, reports: list[tuple[DatasetReport, ExitCode]]) -> Report:
        return Report(
            shown(os.fsencode(self.state_dir)),
            worst({code for _, code in reports} | self.codes),
            tuple(report for report, _ in reports),
            tuple(self.notes),
            time.monotonic() - self.started,
            self.options.dry_run,
        )

    def _may_wait(self) -> bool:
        return self.options.wait and not self.options.dry_run

    def _visit(self, pending: Collection[Pending], *, wait: bool, held: Held) -> None:
        """Work on everything; wait for what still runs, then take it as it is."""

        def share_out(some: Collection[Pending], *, wait: bool) -> Collection[Pending]:
            def visit(windows: Windows, few: Collection[Pending]) -> Result:
                return windows.run(few, wait=wait, held=held)

            self.total.waiting = []
            chosen = crew(self.options.jobs, len(some), self.call_s(some))
            host = self._guests and self._guests.on_terms(wait=wait, held=held)
            self.total.add(shared_out(self.lent_windows, some, chosen, visit, self.stopped, host))
            return self.total.waiting

        waiting = share_out(pending, wait=wait)
        share_out(self._poll(waiting, lambda some: share_out(some, wait=True)), wait=False)
        for directory, some in by_directory(self.total.deferred).items():
            last = self._quiet(directory)
            self.total.add(self.windows.run(some, wait=False, held=held, last=last))

    def call_s(self, pending: Collection[Pending]) -> float:
        """How long one call takes where the state files lie; measured once."""
        first = next(iter(pending), None)
        if self._call_s is None and first is not None:
            self._call_s = self.windows.call_s(first)
        return self._call_s or 0.0

    def _poll(
        self,
        waiting: Collection[Pending],
        again: Callable[[Collection[Pending]], Collection[Pending]],
    ) -> Collection[Pending]:
        """`again` on what is left, ever more slowly, until nothing is or the time is over."""
        pause = 0.0
        while waiting and not self.stopped():
            self._waits(len(waiting))
            self.sleep(pause)
            left = again(waiting)
            pause = _POLL_FIRST_S if len(left) < len(waiting) else pause * 1.5 + _POLL_FIRST_S
            pause, waiting = min(pause, _POLL_MOST_S), left
        self._waits(0)
        return waiting

    def sleep(self, seconds: float) -> None:
        """In short pieces: a signal asks for a stop, and sleep(3) goes on after it."""
        left = deadline(min(seconds, self.left()))
        while left() > 0 and not self.stopped():
            time.sleep(min(left(), _POLL_FIRST_S))

    @contextmanager
    def lent_windows(self, threads: int, pool: Pool | None) -> Iterator[Windows]:
        """Windows for one of `threads` of this process, which others have used before."""
        free = self._free.setdefault((os.getpid(), threads), [])
        try:
            windows = free.pop()
        except IndexError:
            windows = self._new_windows(threads)
        windows.pool = pool
        yield windows
        free.append(windows)

    def _new_windows(self, threads: int = 1) -> Windows:
        """Those of a forked process also end with their parent."""
        stopped = self.stopped
        if os.getpid() != self._pid:

            def stopped() -> bool:
                return self.stopped() or os.getppid() != self._pid

        probes = self._probes.get(os.getpid())
        if probes is None:  # nor does a forked one take its parent's
            probes = self._probes.setdefault(os.getpid(), probes_of(self.state_dir, self.options))
        return Windows(
            self.state_dir,
            self.options,
            _every(_LOOK_EACH, stopped),
            probes=probes,
            open_max=open_most(threads),
        )

    def _quiet(self, directory: bytes) -> bool:
        """Whether no state file of this dataset is left that may still publish something."""
        tally = self.total.tallies.get(directory)
        return tally is None or tally.codes <= {ExitCode.OK, ExitCode.NEEDS_PERSON}

    def _by_dataset(self, groups: list[Group], pending: Collection[Pending]) -> None:
        """Nothing of a dataset until all of it is ready: settle, then judge, then work."""
        if self._may_wait():
            self._poll(pending, lambda some: self.windows.running(some))
        chosen = crew(self.options.jobs, len(pending), self.call_s(pending))
        judged = shared_out(self.lent_windows, pending, chosen, whole.judge, self.stopped).tallies
        held = {
            group.directory: not whole.is_ready(group, judged.get(group.directory))
            for group in groups
        }
        self._visit(pending, wait=False, held=lambda directory: held.get(directory, True))

    def _report(self, group: Group) -> tuple[DatasetReport, ExitCode]:
        tally = self.total.tallies.get(group.directory)
        kept = records.read(self.state_dir, group.directory)
        if tally is None and not group.pending and kept is not None and kept.complete:
            return kept, ExitCode.OK
        tally = tally or Tally(group.directory)
        for name in group.done:
            self._add_done(tally, group, name)
        report = tally.report()
        if not self.options.dry_run:
            error = records.write(self.state_dir, group.directory, report, kept)
            if error is not None:  # the state files say the same: the next run writes it
                self.notes.append(_note(error))
        return report, dataset_code(report, tally.codes)

    def _add_done(self, tally: Tally, group: Group, name: bytes) -> None:
        path = os.path.join(os.fsencode(self.state_dir), group.directory, name)
        done = Result({}, [], [])
        one = next(self.windows.loaded([Pending(group.directory, name, path)], done), [])
        for loaded in one:
            if loaded.state is not None:
                tally.add_done(loaded.state)
        for extra in done.tallies.values():
            tally.merge(extra)


def _every(times: int, ask: Callable[[], bool]) -> Callable[[], bool]:
    """`ask` at one in `times` calls, and until then what it has said."""
    left, said = 0, False

    def asked() -> bool:
        nonlocal left, said
        left -= 1
        if left < 0:
            left, said = times - 1, said or ask()
        return said

    return asked


def _no_lock(what: str, error: OSError) -> PoststageError:
    text = f"{what}: its lock cannot be taken: {error.strerror}; nothing was touched"
    if _code(error) is ExitCode.PERMISSION:
        hint = "run finalize as the owner of the directory, or with --dry-run"
        return PermissionRefusedError(text, hint=hint)
    return RunAgainError(text, hint="run it again when the cause is gone")


def _note(error: OSError) -> str:
    return f"{shown(error.filename or b'')}: {error.strerror}"


def _code(error: OSError) -> ExitCode:
    refused = isinstance(error, PermissionError) or error.errno == errno.EROFS
    return ExitCode.PERMISSION if refused else ExitCode.RUN_AGAIN


def lock_of(
    directory: Path, left: Callable[[], float], stopped: Callable[[], bool], stack: ExitStack
) -> None:
    """Hold the finalizers' lock of `directory` until `stack` ends; a stop ends the waiting for it.

    Raises:
        RunAgainError: another process holds it, and no time is left.
        PermissionRefusedError: it cannot be taken.
    """
    path = directory / os.fsdecode(LOCK_NAME)
    what = shown(os.fsencode(directory))
    while True:
        timeout_s = min(left(), _LOCK_SLICE_S)
        try:
            stack.enter_context(lock.held(path, timeout_s=timeout_s, what=what))
            return
        except RunAgainError:
            if stopped():
                raise
        except OSError as error:
            raise _no_lock(what, error) from error
