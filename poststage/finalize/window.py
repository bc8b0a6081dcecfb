"""A bounded number of state files at once: load, ask, apply, commit."""

import errno
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from poststage.backends.base import Answer
from poststage.durable import fsops
from poststage.errors import ExitCode, PoststageError, StateFileError
from poststage.finalize.apply import apply, dry_run, finish_directories
from poststage.finalize.commit import commit
from poststage.finalize.dirs import OPEN_MAX, Dirs, Walk, open_roots_alone
from poststage.finalize.events import published
from poststage.finalize.moving import drop_sources
from poststage.finalize.options import Options
from poststage.finalize.pending import Loaded, Pending, load
from poststage.finalize.probes import Probes
from poststage.finalize.scan import part_of
from poststage.finalize.tally import Tally
from poststage.finalize.work import Job, Pool, Work
from poststage.model import Kind, TransferState, Verdict

_STATES_MAX = 512
_TRIES = 3
_ENTRIES_MAX = 8192
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO})  # a symlink, a socket
_WAITS = frozenset({TransferState.INPROGRESS, TransferState.NOTSTARTED})


Held = Callable[[bytes], bool]
"""Whether nothing of the dataset in this directory may be published now."""


class Result(Struct):
    """What came of a window."""

    tallies: dict[bytes, Tally]
    waiting: list[Pending]
    """Still running; worth another look before the deadline."""
    deferred: list[Pending]
    """All done but a directory's mode, which is set when the dataset has no more to publish."""

    def add(self, other: "Result") -> None:
        """What came of others."""
        for directory, tally in other.tallies.items():
            tally_of(self, directory).merge(tally)
        self.waiting += other.waiting
        self.deferred += other.deferred


class Windows:
    """Works on windows of state files; one for each process. `close` when done."""

    def __init__(
        self,
        state_dir: Path,
        options: Options,
        stopped: Callable[[], bool],
        *,
        probes: Probes | None = None,
        open_max: int = OPEN_MAX,
    ) -> None:
        """`probes` that others use as well stay open; `open_max` directories are open at once."""
        self._root = os.fsencode(state_dir)
        self._options = options
        self.probes = probes or probes_of(state_dir, options)
        self._own_probes = probes is None
        as_root = options.restore_owners
        self.pool: Pool | None = None
        """Threads that help with state files of many files."""
        self._open_max = open_max
        self._walk = Walk()
        self._dirs = Dirs(self._walk.open if as_root else fsops.open_dir, open_max)
        self._state_dirs = Dirs(open_roots_alone if as_root else fsops.open_dir, open_max)
        self._paths: dict[bytes, bytes] = {}
        self._stopped = stopped

    def close(self) -> None:
        """Let go of backends and directories."""
        if self._own_probes:
            self.probes.close()
        self._dirs.close()
        self._walk.close()
        self._state_dirs.close()

    def state_dir_fd(self, directory: bytes) -> int:
        """The open directory that a group's state files lie in."""
        path = self._paths.get(directory)
        if path is None:
            path = self._paths[directory] = os.path.join(self._root, directory)
        return self._state_dirs.fd(path)

    def read(self, pending: Pending) -> Loaded:
        """One state file. Raises StateFileError or OSError."""
        trusted = 0 if self._options.restore_owners else None
        return load(self.state_dir_fd(pending.directory), pending, trusted_uid=trusted)

    def call_s(self, pending: Pending) -> float:
        """Seconds that a call takes that no cache answers: opening a state file once more."""
        best = math.inf
        for _ in range(_TRIES):
            begin = time.perf_counter()
            try:
                os.close(fsops.open_file(self.state_dir_fd(pending.directory), pending.name))
            except (OSError, PoststageError):
                return 0.0
            best = min(best, time.perf_counter() - begin)
        return best

    def loaded(self, pendings: Iterable[Pending], result: Result) -> Iterator[list[Loaded]]:
        """The state files of `pendings` in windows; the unreadable go into `result`'s tallies."""
        window: list[Loaded] = []
        entries = 0
        for pending in pendings:
            one = self._read_or_note(pending, result)
            if one is None:
                continue
            found = len(one.state.entries) if one.state else 0
            if window and found >= _ENTRIES_MAX:  # by itself: what goes wrong is its own affair
                yield window
                window, entries = [], 0
            window.append(one)
            entries += found
            if len(window) >= _STATES_MAX or entries >= _ENTRIES_MAX:
                yield window
                window, entries = [], 0
        if window:
            yield window

    def run(
        self, pendings: Iterable[Pending], *, wait: bool, held: Held, last: bool | None = None
    ) -> Result:
        """Work on `pendings`. With `wait`, what still runs comes back in `waiting`, untouched.

        What has only directories left comes back in `deferred`; unless `last` says whether
        the dataset has no more files to publish, which decides about their modes.
        """
        result = Result({}, [], [])
        for window in self.loaded(pendings, result):
            answers = self.probes.answers(one.pending for one in window)
            jobs = []
            for one in window:
                answer = answers[one.pending.path]
                if wait and answer.state in _WAITS:
                    result.waiting.append(one.pending)
                elif one.state is None:
                    self._note_empty(one.pending, answer, result)
                else:
                    jobs.append(Job(one, one.state, answer))
            for hold in (False, True):
                some = [job for job in jobs if held(job.pending.directory) is hold]
                self._work(some, result, hold=hold, last=last)
        return result

    def running(self, pendings: Iterable[Pending]) -> list[Pending]:
        """Those of `pendings` whose transfers still run; nothing is changed."""
        scratch = Result({}, [], [])
        found: list[Pending] = []
        for window in self.loaded(pendings, scratch):
            some = [one.pending for one in window]
            answers = self.probes.answers(some)
            found += [one for one in some if answers[one.path].state in _WAITS]
        return found

    def _tools(self, *, hold: bool) -> Work:
        owners, deletes = self._options.restore_owners, self._options.settings.delete_incomplete
        places = 2 * self._open_max
        return Work(self._dirs, self._stopped, owners, hold, self.pool, places, deletes)

    def judge(self, jobs: list[Job]) -> None:
        """Fill in what comes of `jobs` if nothing gets its name yet."""
        if self._options.dry_run:
            dry_run(jobs, self._tools(hold=False))
        else:
            apply(jobs, self._tools(hold=True))

    def _work(self, jobs: list[Job], result: Result, *, hold: bool, last: bool | None) -> None:
        if not jobs:
            return
        work = self._tools(hold=hold)
        try:
            if self._options.dry_run:
                dry_run(jobs, work)
            else:
                self._settle(jobs, work, result, last=bool(last))
        except StateFileError as error:  # a long one, which is read again, and has changed
            for job in jobs:
                self._note(result, job.pending, error.message)
            return
        for job in jobs:
            tally = tally_of(result, job.pending.directory)
            if last is None and _only_directories_left(job):
                result.deferred.append(job.pending)
                tally.changed += sum(one.changed for one in job.outcomes.values())
            else:
                tally.add_job(job)
                if self._options.log is not None:
                    self._options.log(published(job, self._options.job))

    def _settle(self, jobs: list[Job], work: Work, result: Result, *, last: bool) -> None:
        apply(jobs, work)
        rest = [job for job in jobs if not job.is_published]
        if rest:
            finish_directories(rest, work, last=last)
            drop_sources(rest, work)
        self._commit(jobs, result)

    def _commit(self, jobs: list[Job], result: Result) -> None:
        touched: dict[bytes, bytes] = {}  # the directory that a state file lies in → its dataset's
        for job in jobs:
            directory = job.pending.directory
            try:
                if commit(job, self.state_dir_fd(directory)):
                    place = job.pending.name.rpartition(b"/")[0]
                    where = os.path.join(directory, place) if place else directory
                    touched[where] = directory
            except (OSError, PoststageError) as error:
                self._note(result, job.pending, f"its state file is not set aside: {error}")
        for where, directory in touched.items():
            try:
                fsops.sync(self.state_dir_fd(where))
            except OSError as error:
                tally = tally_of(result, directory)
                tally.codes.add(ExitCode.RUN_AGAIN)
                tally.add_problem(Verdict.UNKNOWN, f"fsync of its state directory: {error}")

    def _read_or_note(self, pending: Pending, result: Result) -> Loaded | None:
        try:
            return self.read(pending)
        except FileNotFoundError:
            return None  # set aside by another finalizer since the walk
        except StateFileError as error:
            tally_of(result, pending.directory).codes.add(error.exit_code)
            text = error.message
        except OSError as error:
            tally_of(result, pending.directory).codes.add(_unreadable(error))
            text = f"cannot be read: {error.strerror}; none of its files was touched"
        tally = tally_of(result, pending.directory)
        tally.add_problem(Verdict.UNKNOWN, text, state_file=pending.path)
        part = part_of(pending.name)
        if part is not None:
            tally.seen.add(part)  # it is there, whatever it says
        return None

    def _note(self, result: Result, pending: Pending, text: str) -> None:
        tally = tally_of(result, pending.directory)
        tally.codes.add(ExitCode.RUN_AGAIN)
        tally.add_problem(Verdict.UNKNOWN, text, state_file=pending.path)

    def _note_empty(self, pending: Pending, answer: Answer, result: Result) -> None:
        tally_of(result, pending.directory).add_unrecorded(answer, -1, pending.path)


def probes_of(state_dir: Path, options: Options) -> Probes:
    """The probes of a run."""
    return Probes(
        options.settings,
        state_dir,
        may_cancel=not options.dry_run,
        deadline_s=options.deadline_s,
    )


def tally_of(result: Result, directory: bytes) -> Tally:
    """The tally of one dataset, made when first asked for."""
    found = result.tallies.get(directory)
    if found is None:
        found = result.tallies[directory] = Tally(directory)
    return found


def _unreadable(error: OSError) -> ExitCode:
    if isinstance(error, PermissionError):
        return ExitCode.PERMISSION
    return ExitCode.DATA if error.errno in _NO_FILE else ExitCode.RUN_AGAIN


def _only_directories_left(job: Job) -> bool:
    """Whether nothing but directories' modes keeps the state file from being set aside."""
    if job.is_published:
        return False
    left = [index for index, one in job.outcomes.items() if not one.verdict.final]
    directories = all(job.state.entries[index].kind is Kind.DIRECTORY for index in left)
    return bool(left) and directories and job.answer.state.ended
