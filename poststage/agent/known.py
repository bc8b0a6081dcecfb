"""Transfers that some agent recorded in a STATEDIR: read, asked after, cancelled."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from poststage import backends, config, names
from poststage.agent import explain, poll
from poststage.backends.base import Answer, Probe
from poststage.durable import fsops, lock
from poststage.errors import BackendError, PoststageError, RunAgainError, UsageError
from poststage.model import Kind, TransferState
from poststage.statefile import StateWriter, read_state, walk
from poststage.statefile.layout import STATE_SUFFIX

_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOCK_S = 5.0  # a finalizer holds a state file's lock no longer than for reading it


class Known(Struct, frozen=True):
    """One state file that is not set aside, without its entries."""

    path: bytes
    dataset: str = ""
    part: int = 0
    id: str = ""
    backend: str = ""
    handle: str | None = None
    files: int = 0
    recorded: bool = False
    busy: bool = False
    """Whether another process holds it: its agent (or, for a moment, a finalizer)."""


def transfers(state_dir: Path, dataset: str | None = None) -> Iterator[Known | PoststageError]:
    """Every open state file (of `dataset`), by name; one that cannot be read as its error.

    Raises:
        PoststageError: `state_dir` itself is missing or cannot be read.
    """
    top = os.fsencode(state_dir)
    with explain.explained("state directory", "nothing was done"):
        top_fd = fsops.open_dir(top)
    try:
        for directory in walk.dataset_dirs(top_fd):
            yield from _of_dataset(top_fd, os.path.join(top, directory), dataset)
    finally:
        os.close(top_fd)


def load(path: bytes, *, dir_fd: int | None = None, name: bytes | None = None) -> Known:
    """The state file `path`, opened as `name` in `dir_fd` if that is given.

    Raises:
        StateFileError: it is damaged.
        PoststageError: it cannot be opened.
    """
    with explain.explained(f"state file {names.shown(path)}", "it was left alone"):
        fd = os.open(name or path, os.O_RDONLY | _OPEN, dir_fd=dir_fd)
        try:
            state = read_state(fd, path)
            busy = not lock.try_lock(fd)
        finally:
            os.close(fd)
    if state is None:
        return Known(path, busy=busy)
    files = sum(entry.kind is Kind.FILE for entry in state.entries)
    head = state.head
    return Known(
        path,
        head.dataset,
        head.part,
        head.id,
        head.backend,
        state.handle,
        files,
        state.recorded,
        busy,
    )


def record_cancelled(path: bytes, *, patience_s: float = _LOCK_S) -> None:
    """Append, durably, that the transfer of the state file `path` was cancelled.

    Raises:
        UsageError: the file is not there any more: the transfer is over.
        RunAgainError: another process has held it for `patience_s`.
        StateFileError: it is damaged.
    """
    what = f"state file {names.shown(path)}"
    with explain.explained(what, "nothing was cancelled"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | _OPEN)
        except FileNotFoundError as error:
            raise UsageError(f"{what}: is set aside, its transfer is over") from error
        try:
            if not poll.until(lambda: lock.try_lock(fd), bool, patience_s):
                raise RunAgainError(f"{what}: another process holds it; nothing was cancelled")
            _append_cancelled(fd, path)
        finally:
            os.close(fd)


class Probes:
    """The probes of the backends that a STATEDIR's transfers name, opened when first needed."""

    def __init__(self, settings: config.Settings, state_dir: Path) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._open: dict[str, Probe] = {}

    def of(self, backend: str) -> Probe:
        """The probe of `backend`; UsageError or BackendError if there is none."""
        if backend not in self._open:
            loaded = backends.load(backend, self._settings)
            context = backends.context(loaded, self._settings, self._state_dir)
            self._open[backend] = loaded.open_probe(context)
        return self._open[backend]

    def handle(self, one: Known) -> str | None:
        """The backend's handle of `one`, by its tag if it is not recorded; may raise."""
        return one.handle or self.of(one.backend).find([one.id]).get(one.id)

    def answers(self, group: list[Known]) -> Mapping[bytes, Answer]:
        """Path → answer. A backend that is away or not allowed answers UNKNOWN, with the reason."""
        result: dict[bytes, Answer] = {}
        by_backend: dict[str, list[Known]] = {}
        for one in group:
            answer = _without_asking(one)
            if answer is None:
                by_backend.setdefault(one.backend, []).append(one)
            else:
                result[one.path] = answer
        for backend, ours in by_backend.items():
            try:
                result.update(self._asked(backend, ours))
            except PoststageError as error:
                away = Answer(TransferState.UNKNOWN, reason=error.message)
                result.update(dict.fromkeys((one.path for one in ours), away))
        return result

    def close(self) -> None:
        """Let go of all of them."""
        for probe in self._open.values():
            probe.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _asked(self, backend: str, group: list[Known]) -> dict[bytes, Answer]:
        probe = self.of(backend)
        nameless = [one.id for one in group if one.handle is None]
        found = probe.find(nameless) if nameless else {}
        handles = {one.path: one.handle or found.get(one.id) for one in group}
        answers = probe.answers([handle for handle in handles.values() if handle])
        return {path: _answer(answers, handle) for path, handle in handles.items()}


def _answer(answers: Mapping[str, Answer], handle: str | None) -> Answer:
    if handle is None:
        return Answer(TransferState.NOTSTARTED, reason="the backend was never told of it")
    return answers.get(handle, Answer(TransferState.UNKNOWN, reason="no answer"))


def _without_asking(one: Known) -> Answer | None:
    if one.busy:
        return Answer(TransferState.NOTSTARTED, reason="its agent is still at it")
    if not one.recorded:
        return Answer(TransferState.CANCELED, reason="its agent ended before it was started")
    if not one.files:
        return Answer(TransferState.FULLSUCCESS, reason="it has no files to move")
    return None


def _of_dataset(
    top_fd: int, directory: bytes, dataset: str | None
) -> Iterator[Known | PoststageError]:
    try:
        with _opened(top_fd, os.path.basename(directory)) as fd:
            for name in walk.state_files(fd):
                if not name.endswith(STATE_SUFFIX):
                    continue
                one = _loaded(fd, name, os.path.join(directory, name))
                if one is not None and (dataset is None or _is_of(one, dataset)):
                    yield one
    except OSError as error:
        yield explain.of(error, names.shown(directory), "it was left alone")


def _is_of(one: Known | PoststageError, dataset: str) -> bool:
    """A file that cannot be read could be of any dataset: it is not passed over in silence."""
    return isinstance(one, PoststageError) or one.dataset == dataset


def _loaded(dir_fd: int, name: bytes, path: bytes) -> Known | PoststageError | None:
    """The state file, or why it cannot be read; None if it was set aside meanwhile."""
    try:
        return load(path, dir_fd=dir_fd, name=name)
    except PoststageError as error:
        return None if isinstance(error.__cause__, FileNotFoundError) else error


@contextmanager
def _opened(top_fd: int, name: bytes) -> Iterator[int]:
    fd = fsops.open_subdir(top_fd, name)
    try:
        yield fd
    finally:
        os.close(fd)


def _append_cancelled(fd: int, path: bytes) -> None:
    state = read_state(fd, path)
    if state is None:
        raise BackendError(f"state file {names.shown(path)}: is empty; nothing was cancelled")
    writer = StateWriter.reopen(fd, state.whole_bytes)
    writer.cancelled()
    writer.sync()
