"""`finalize --scr`: every pending dataset of a prefix, in SCR's order, under one lock.

For each: its ranks' transfers as `finalize --dir` ends them; then the verdict; then
summary.scr, index.scr and flush.scr, in this order, each replaced whole and durably. A kill
anywhere leaves a dataset that the next run finds again.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec.structs import replace

from poststage import names
from poststage.durable import atomic, fsops
from poststage.errors import PermissionRefusedError, StateFileError, UsageError, worst
from poststage.finalize.options import Options
from poststage.finalize.privs import Owner, owner_of
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir, lock_of
from poststage.finalize.work import deadline
from poststage.scr import trees
from poststage.scr.dataset import Finished, finish, held_back, never_begun
from poststage.scr.datasets import Dataset, pending
from poststage.scr.files import FLUSH, INDEX, SUMMARY, read_tree
from poststage.statefile import kvtree
from poststage.statefile.kvtree import Tree

SCR_DIR = ".scr"
_DIRECTORY = re.compile(rb"scr\.dataset\.(0|[1-9]\d{0,8})\Z")
_HINT = "--scr names SCR's prefix directory (SCR_PREFIX)"
_LEAST_S = 1.0  # for each dataset, however many there are


def finalize_scr(
    prefix: Path, options: Options, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Finalize every pending dataset of SCR's below `prefix`; safe to run again at any time.

    Raises:
        UsageError: `prefix` has no directory .scr.
        StateFileError: flush.scr or index.scr is damaged; nothing was touched.
        PermissionRefusedError: it cannot be read or locked.
        RunAgainError: another finalizer, or a job that starts, holds it until the deadline.
    """
    run = Run(prefix.absolute(), options, stop)
    with ExitStack() as stack:
        run.open(stack)
        if not options.dry_run and run.pending():
            lock_of(run.scr, run.left, run.stopped, stack)
        return run.all()


def owner_of_prefix(prefix: Path, user: str | None, trusted_dirs: tuple[str, ...]) -> Owner | None:
    """`privs.owner_of` of SCR's directory, in SCR's words."""
    try:
        return owner_of(os.fsencode(prefix / SCR_DIR), user, trusted_dirs)
    except UsageError as error:
        raise UsageError(error.message, hint=_HINT) from error


class Run:
    """One run over one prefix."""

    def __init__(self, prefix: Path, options: Options, stop: Callable[[], bool]) -> None:
        self.prefix, self.scr = prefix, prefix / SCR_DIR
        self.options = options
        self.left = deadline(options.deadline_s)
        self._stop = stop
        self._started = time.monotonic()
        self._fd = -1
        self._trusted_uid = 0 if options.restore_owners else None

    def stopped(self) -> bool:
        """Whether to stop before the next dataset."""
        return self._stop() or self.left() <= 0

    def open(self, stack: ExitStack) -> None:
        """Open PREFIX/.scr until `stack` ends."""
        try:
            self._fd = fsops.open_dir(os.fsencode(self.scr))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{names.shown(os.fsencode(self.scr))}: is not a directory; nothing was read",
                hint=_HINT,
            ) from error
        except PermissionError as error:
            raise PermissionRefusedError(
                f"{names.shown(os.fsencode(self.scr))}: cannot be read: {error.strerror}"
            ) from error
        stack.callback(os.close, self._fd)

    def pending(self) -> list[Dataset]:
        """What is pending now."""
        found = (_DIRECTORY.match(os.fsencode(name)) for name in os.listdir(self._fd))
        directories = {int(match[1]) for match in found if match}
        with self._named():
            return pending(self._read(FLUSH), self._read(INDEX), directories)

    def all(self) -> Report:
        """The run. A checkpoint waits while an output before it is not whole."""
        finished: list[Finished] = []
        datasets = self.pending()
        stuck: int | None = None
        for number, dataset in enumerate(datasets):
            if not dataset.output and stuck is not None and dataset.id > stuck:
                one = held_back(dataset, stuck)
            else:
                one = self._one(dataset, len(datasets) - number)
            finished.append(one)
            if dataset.output and not one.report.complete and stuck is None:
                stuck = dataset.id
        return Report(
            names.shown(os.fsencode(self.scr)),
            worst({one.code for one in finished}),
            tuple(one.report for one in finished),
            tuple(note for one in finished for note in one.notes),
            time.monotonic() - self._started,
            self.options.dry_run,
        )

    def _one(self, dataset: Dataset, still: int) -> Finished:
        if not dataset.begun:
            return never_begun(dataset)
        share = replace(self.options, deadline_s=max(_LEAST_S, self.left() / still))
        finished = finish(self.prefix, self._fd, dataset, share, self._stop, finalize_dir)
        if not self.options.dry_run and finished.settled:
            self._record(dataset, complete=finished.report.complete)
        return finished

    def _record(self, dataset: Dataset, *, complete: bool) -> None:
        """Write SCR's files; each step is durable before the next."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
        with self._named():
            index, flush = self._read(INDEX), self._read(FLUSH)
        if not complete:
            self._write(INDEX, index, trees.failed(index, dataset, now))
            self._write(FLUSH, flush, trees.stopped(flush, dataset.id))
            return
        directory_fd = fsops.open_subdir(self._fd, dataset.directory)
        try:
            old = read_tree(directory_fd, SUMMARY, trusted_uid=self._trusted_uid) or {}
            _replace(directory_fd, SUMMARY, old, trees.summary(dataset))
        finally:
            os.close(directory_fd)
        self._write(INDEX, index, trees.completed(index, dataset, now))
        self._write(FLUSH, flush, trees.without(flush, dataset.id))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What is damaged is named with its directory."""
        try:
            yield
        except StateFileError as error:
            where = names.shown(os.fsencode(self.scr))
            raise StateFileError(f"{where}/{error.message}", hint=error.hint) from error

    def _read(self, name: bytes) -> Tree:
        return read_tree(self._fd, name, trusted_uid=self._trusted_uid) or {}

    def _write(self, name: bytes, old: Tree, new: Tree) -> None:
        _replace(self._fd, name, old, new)


def _replace(dir_fd: int, name: bytes, old: Tree, new: Tree) -> None:
    """Replace one of SCR's files, with the mode that it had, unless it says so already."""
    if new == old:
        return
    there = fsops.facts(dir_fd, name)
    mode = 0o644 if there is None else there.st_mode & 0o777
    atomic.replace_file(dir_fd, name, kvtree.build(new), mode=mode)
