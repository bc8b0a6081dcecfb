"""One state file while its agent writes it: created and locked, then durable, then let go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from poststage import names
from poststage.agent import earlier, explain, places, poll
from poststage.durable import fsops, lock
from poststage.errors import RunAgainError, UsageError
from poststage.model import Entry, Head
from poststage.statefile import StateWriter, layout, read_state

_ATTEMPTS = 20
_LOCK_S = 5.0  # a finalizer that has just met the file lets go of it at once
_UNTOUCHED = "nothing was started"


class TakenAwayError(RunAgainError):
    """The file lost its name to a finalizer, or to another process that records this part."""


def directories(state_dir: Path, dataset: str, parts: int) -> list[bytes]:
    """All directories that the state files of `dataset` lie in, top first."""
    top = os.path.abspath(os.fsencode(state_dir))
    own = os.path.join(top, layout.dataset_dir_name(dataset))
    return [top, own, *(os.path.join(own, place) for place in layout.places(parts))]


def prepare(state_dir: Path, dataset: str, parts: int) -> None:
    """Make `directories`, durably. PoststageError if they cannot be made."""
    changed: dict[bytes, None] = {}
    with explain.explained(f"state directory {state_dir}", _UNTOUCHED):
        for path in directories(state_dir, dataset, parts):
            changed.update(dict.fromkeys([*places.make_path(path), os.path.dirname(path)]))
        for path in changed:
            places.sync_readable(path)


class Recording:
    """The open state file of one transfer; its lock is held until `release` or `discard`.

    Every method may raise PoststageError; after a failed write only `discard` and
    `release` make sense, because what the file holds is not known.
    """

    def __init__(self, state_dir: Path, head: Head, settled: set[bytes] | None = None) -> None:
        """`settled` are directories whose names are known to be durable; it grows by those here."""
        self._settled = set() if settled is None else settled
        self._top = os.path.abspath(os.fsencode(state_dir))
        self._dataset_dir = os.path.join(self._top, layout.dataset_dir_name(head.dataset))
        self.path = os.path.join(self._dataset_dir, layout.state_path(head.part, head.parts))
        self._directory, self._name = names.split(self.path)
        self._what = f"state file {names.shown(self.path)}"
        self.broken = False
        self._open_directory()
        try:
            self._writer = self._create(head)
        except BaseException:
            _close(self._dir_fd)
            raise

    def _open_directory(self) -> None:
        with explain.explained(self._what, _UNTOUCHED):
            self._changed = places.make_path(self._directory)
            self._dir_fd = fsops.open_dir(self._directory)

    def _reopen_directory(self) -> None:
        """Make the directory again, which a `forget` has just removed as an empty one."""
        _close(self._dir_fd)
        self._settled.difference_update((self._dataset_dir, self._directory))
        self._open_directory()

    def add(self, entry: Entry) -> int:
        """Append `entry`; its index. Not durable."""
        with self._writing():
            return self._writer.add(entry)

    def commit(self, handle: str | None) -> None:
        """Say that all entries are there, and make the file and its name durable."""
        with self._writing():
            self._writer.recorded()
            if handle is not None:
                self._writer.handle(handle)
            self._writer.sync()
            self._sync_names()

    def started(self, late_handle: str | None) -> None:
        """Append that the backend has started; never raises for a disk that is full now.

        The bytes are on their way: without this event the finalizer asks the backend, too.
        """
        with suppress(OSError):
            if late_handle is not None:
                self._writer.handle(late_handle)
            self._writer.started()
            self._writer.flush()

    def require_ours(self) -> None:
        """Raise TakenAwayError unless the file still has its name.

        Between its creation and its lock, or where locks do not work, a finalizer may
        have taken the file for a dead agent's.
        """
        with explain.explained(self._what, _UNTOUCHED):
            seen, ours = fsops.facts(self._dir_fd, self._name), os.fstat(self._writer.fd)
        if seen is None or not os.path.samestat(seen, ours):
            self.broken = True
            raise self._taken_away()

    def release(self) -> None:
        """Close the file and so give up its lock."""
        _close(self._writer.fd)
        _close(self._dir_fd)

    def discard(self) -> None:
        """Remove the file: only for a transfer that nobody was told to start."""
        with explain.explained(self._what, "it was not removed"):
            seen = fsops.facts(self._dir_fd, self._name)
            if seen is not None and os.path.samestat(seen, os.fstat(self._writer.fd)):
                fsops.unlink(self._dir_fd, self._name)
        self.release()

    def _sync_names(self) -> None:
        """Make the file's name durable, and those of the directories that it lies in."""
        lies_in = dict.fromkeys([self._top, self._dataset_dir, self._directory])
        # Another rank may have made these a moment ago and not yet synced them.
        above = [os.path.dirname(path) for path in lies_in if path not in self._settled]
        theirs = os.path.dirname(self._top)
        changed = dict.fromkeys([*self._changed, *above, self._directory])
        places.sync_dirs(path for path in changed if path != theirs)
        if theirs in self._changed:
            places.sync_dirs([theirs])
        elif theirs in changed:
            places.sync_readable(theirs)
        self._settled.update(lies_in)

    def _create(self, head: Head) -> StateWriter:
        """The new file. One that was taken away before it was locked is made again, with its
        directory if need be.

        Another process that records this part takes it for a dead agent's; then that one has
        the part, or is taken for dead itself.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._created(head)
            except TakenAwayError:
                self.broken = False
        return self._created(head)

    def _created(self, head: Head) -> StateWriter:
        with explain.explained(self._what, _UNTOUCHED):
            earlier.require_not_elsewhere(self._dataset_dir, self.path, head.dataset)
            self._require_unused(head)
            self._clear_dead()
            try:
                writer = StateWriter.create(self._dir_fd, self._name, head)
            except FileExistsError as error:
                raise self._exists() from error
            except FileNotFoundError as error:
                self._reopen_directory()
                raise self._taken_away() from error
        self._writer = writer
        try:
            with explain.explained(self._what, _UNTOUCHED):
                locked = poll.until(lambda: lock.try_lock(writer.fd), bool, _LOCK_S)
            if not locked:
                raise RunAgainError(f"{self._what}: another process holds it; {_UNTOUCHED}")
            self.require_ours()
            self._require_unused_now(head)
            with explain.explained(self._what, _UNTOUCHED):
                writer.flush()  # whoever finds it after a kill reads whose it was
        except BaseException:
            _close(writer.fd)
            raise
        return writer

    def _require_unused(self, head: Head) -> None:
        with explain.explained(self._what, _UNTOUCHED):
            earlier.require_unused(self._dataset_dir, self.path, head.dataset)

    def _require_unused_now(self, head: Head) -> None:
        """Once more: a finalizer may have set the part aside just before the file was made."""
        try:
            self._require_unused(head)
        except BaseException:
            with suppress(OSError):  # what is left started nothing
                fsops.unlink(self._dir_fd, self._name)
            raise

    def _clear_dead(self) -> None:
        """Remove the file of an agent that was killed before all was recorded: it started nothing.

        Whoever removes it holds its lock, so that a file in use is never taken for a dead one.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            fd = os.open(self._name, flags, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._exists() from error
        try:
            if not fsops.is_regular(os.fstat(fd)) or not lock.try_lock(fd):
                raise self._exists()
            state = read_state(fd, self.path)
            if state is not None and state.recorded:
                raise self._exists()
            seen = fsops.facts(self._dir_fd, self._name)
            if seen is not None and os.path.samestat(seen, os.fstat(fd)):
                fsops.unlink(self._dir_fd, self._name)
        finally:
            _close(fd)

    def _taken_away(self) -> TakenAwayError:
        return TakenAwayError(f"{self._what}: was taken away meanwhile; {_UNTOUCHED}")

    def _exists(self) -> UsageError:
        return UsageError(
            f"{self._what}: exists already; {_UNTOUCHED}",
            hint="its transfer is not over (`poststage status`): resume it or run finalize first "
            "(after failures also `poststage forget --failed`), or choose another dataset; "
            "processes of one job need different parts (give open_agent the communicator)",
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with explain.explained(self._what, _UNTOUCHED):
                yield
        except BaseException:
            self.broken = True
            raise


def _close(fd: int) -> None:
    """Let go of `fd`: what has to be durable was synced, so an error says nothing new."""
    with suppress(OSError):
        os.close(fd)
