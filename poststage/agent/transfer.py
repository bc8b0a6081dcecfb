"""One transfer: files added, handed over once, then asked after."""

import os
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Self

from poststage import names
from poststage.agent import explain, items, known, places, poll
from poststage.agent.items import AnyPath, Item
from poststage.agent.observe import Observed, observe, observe_all
from poststage.agent.recording import Recording
from poststage.backends.base import Answer
from poststage.backends.base import Item as Move
from poststage.errors import PoststageError, RunAgainError, UsageError
from poststage.model import Entry, Head, Kind, TransferState

if TYPE_CHECKING:
    from poststage.agent.agent import Agent


class _Phase(Enum):
    OPEN = "open"
    RECORDED = "recorded"  # durable, with the handle if the backend has one by now
    STARTING = "starting"  # the backend may know of it: the state file stays for good
    DISPATCHED = "dispatched"
    DISCARDED = "discarded"


class Transfer:
    """The files that one part of a dataset hands over together. Made by `Agent.transfer`.

    As a context manager it dispatches when the block ends, unless that was done; if the
    block fails before that, nothing is started and the state file is removed.
    """

    def __init__(self, agent: "Agent", head: Head) -> None:
        self.head = head
        self.counts = dict.fromkeys(Kind, 0)
        """How many entries of each kind were added."""
        self.size_bytes = 0
        self._agent = agent
        self._phase = _Phase.OPEN
        self._handle: str | None = None
        self._moves: list[Move] = []
        self._index: dict[bytes, int] = {}  # destination → index of its entry
        self._directories: list[bytes] = []  # those with an entry
        self._parents: set[bytes] = set()
        self._recording = Recording(agent.state_dir, head, agent.settled)

    @property
    def state_file(self) -> bytes:
        """Path of the state file, as it is called until the finalizer is done with it."""
        return self._recording.path

    def add(self, source: AnyPath, destination: AnyPath, *, checksum: bool = False) -> None:
        """Add one file, or one symlink, which stays a link.

        Missing directories of the destination are made at dispatch; where they are
        called as the source's are, they get the modes of those.

        Raises:
            SourceError: the source is missing, special, a directory, or cannot be read.
            UsageError: a directory stands at the destination, it was added before, or
                the transfer is dispatched.
        """
        item = items.item_of(items.absolute_source(source), items.absolute(destination))
        directories = [observe(found, checksum=False) for found in self._implied(item)]
        self.append([*directories, observe(item, checksum=checksum)])

    def add_tree(self, source: AnyPath, destination: AnyPath, *, checksum: bool = False) -> None:
        """Add everything below the directory `source`; `destination` is the new tree's root.

        Symlinks stay links, hard links within the tree stay hard links where the
        destinations lie on one file system, directories (empty ones too) keep their modes.
        All of it is added or, after an error, nothing.

        Raises:
            SourceError: something in it is special (FIFO, socket, device) or unreadable.
            UsageError: something stands in the way at a destination.
        """
        found = items.listed(items.absolute_source(source), items.absolute(destination))
        self.append(list(observe_all(found, checksum=checksum)))

    @property
    def is_open(self) -> bool:
        """Whether the backend was not told of it, so that nothing has begun."""
        return self._phase in {_Phase.OPEN, _Phase.RECORDED}

    @property
    def is_discarded(self) -> bool:
        """Whether it was given up before it was dispatched."""
        return self._phase is _Phase.DISCARDED

    def append(self, observed: Iterable[Observed]) -> None:
        """Add what `observe_all` has seen. For programs that observe in several processes.

        Raises:
            UsageError: two of them have one destination, or the transfer is dispatched.
        """
        self._require_open()
        for one in self._not_twice(list(observed)):
            self._append(one)

    def record(self) -> None:
        """The first half of `dispatch`: all is durable, nothing is started."""
        if self._phase is not _Phase.OPEN:
            return
        self._require_open()
        mover = self._agent.mover if self._moves else None
        if mover is not None and mover.capabilities.handle_before_start:
            self._handle = mover.handle(self.head.id)
        self._recording.commit(self._handle)
        self._phase = _Phase.RECORDED

    def dispatch(self) -> None:
        """Hand the files over; returns when the backend has accepted them.

        A second call does nothing, or tries again after a BackendError.

        Raises:
            BackendError: the backend refused or did not answer.
            RunAgainError, PermissionRefusedError: the state file or a directory cannot be
                written; nothing was started.
        """
        if self._phase is _Phase.DISPATCHED:
            return
        self.record()
        if self._phase is _Phase.DISCARDED:
            raise self._not_open()
        self._make_directories()
        late_handle = self._start() if self._moves else None
        self._phase = _Phase.DISPATCHED
        self._recording.started(late_handle)
        self._recording.release()
        self._forget_entries()

    def answer(self) -> Answer:
        """What the backend says of the transfer now; NOTSTARTED before dispatch."""
        if self._phase is not _Phase.DISPATCHED:
            return Answer(TransferState.NOTSTARTED)
        if self._handle is None:
            return Answer(TransferState.FULLSUCCESS, reason="it has no files to move")
        return self._agent.probe.answers([self._handle])[self._handle]

    def test(self) -> TransferState:
        """How the transfer stands at the backend now; `.ended` tells whether it is over."""
        return self.answer().state

    def wait(self, timeout_s: float | None = None) -> TransferState:
        """How the transfer stands when it has ended or stopped, or when the time is over."""
        if self._phase is not _Phase.DISPATCHED:
            raise UsageError("transfer: is not dispatched; there is nothing to wait for")
        return poll.until(self.test, poll.is_settled, timeout_s)

    def cancel(self) -> TransferState:
        """Make the backend stop; how the transfer stands then. Before dispatch: discard it.

        What was copied completely is published by the finalizer only if it had ended.

        Raises:
            BackendError: the backend does not answer; the wish is recorded nevertheless.
        """
        if self.is_open or self._phase is _Phase.DISCARDED:
            self.discard()
            return TransferState.CANCELED
        self.close()
        known.record_cancelled(self.state_file)
        if self._handle is None:
            return self.test()
        return self._agent.probe.cancel(self._handle).state

    def discard(self) -> None:
        """Forget a transfer that was not dispatched: nothing is started, the state file goes."""
        if self._phase is _Phase.DISCARDED:
            return
        if not self.is_open:
            raise self._not_open()
        was_recorded = self._phase is _Phase.RECORDED
        self._phase = _Phase.DISCARDED
        self._recording.discard()
        if was_recorded and self._handle is not None:
            with suppress(PoststageError):  # what it keeps of a handle that is never started
                self._agent.probe.cancel(self._handle)
                self._agent.probe.forget([self._handle])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._phase is not _Phase.DISCARDED:
                self.dispatch()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the state file; a transfer that the backend was not told of is discarded."""
        if self.is_open:
            self.discard()
        elif self._phase is _Phase.STARTING:
            self._phase = _Phase.DISPATCHED
            self._recording.release()

    def _forget_entries(self) -> None:
        """An application may keep many transfers of many files in its hands."""
        self._moves, self._index, self._directories, self._parents = [], {}, [], set()

    def _append(self, one: Observed) -> None:
        index = len(self._index)
        temp = b""
        if one.kind is not Kind.DIRECTORY:
            temp = names.temp_name(os.path.basename(one.destination), self.head.id, index)
        entry = Entry(
            one.kind,
            one.source,
            one.destination,
            temp,
            one.meta,
            one.prior,
            one.checksum,
            one.target,
            None if one.link_of is None else self._index[one.link_of],
        )
        self._recording.add(entry)
        self._index[one.destination] = index
        self.counts[one.kind] += 1
        self._note(entry, index)

    def _note(self, entry: Entry, index: int) -> None:
        """Keep what dispatch needs of `entry`."""
        if entry.kind is Kind.DIRECTORY:
            self._directories.append(entry.destination)
            return
        directory = os.path.dirname(entry.destination)
        self._parents.add(directory)
        if entry.kind is Kind.FILE:
            target = os.path.join(directory, entry.temp)
            self._moves.append(
                Move(index, entry.source, target, entry.meta.size, entry.meta.mtime_ns)
            )
            self.size_bytes += entry.meta.size

    def _implied(self, item: Item) -> Iterable[Item]:
        """The directories that `item` needs and that neither exist nor were added before."""
        if os.path.dirname(item.destination) in self._parents:
            return ()
        found = items.implied(item.source, item.destination)
        return reversed([one for one in found if one.destination not in self._index])

    def _not_twice(self, observed: list[Observed]) -> list[Observed]:
        """`observed` without directories that are there already; UsageError for other twins."""
        seen: set[bytes] = set()
        fresh = []
        for one in observed:
            if one.destination not in seen and one.destination not in self._index:
                fresh.append(one)
            elif one.kind is not Kind.DIRECTORY:
                raise UsageError(
                    f"{names.shown(one.destination)}: is the destination of another file of "
                    f"this transfer too; {names.shown(one.source)} was not added"
                )
            seen.add(one.destination)
        return fresh

    def _make_directories(self) -> None:
        with explain.explained("destination directory", "nothing was started"):
            places.sync_dirs(places.make_destinations(self._directories, self._parents))

    def _start(self) -> str | None:
        """Tell the backend to move the files; the handle if it had none before."""
        self._recording.require_ours()
        mover, late = self._agent.mover, self._handle is None
        if self._handle is None:
            self._handle = mover.handle(self.head.id)
        self._phase = _Phase.STARTING
        mover.start(self._handle, self._moves)
        return self._handle if late else None

    def _require_open(self) -> None:
        if self._phase is not _Phase.OPEN:
            raise self._not_open()
        if self._recording.broken:
            raise RunAgainError(
                f"state file {names.shown(self.state_file)}: a write to it failed; "
                "nothing was started"
            )

    def _not_open(self) -> UsageError:
        return UsageError(f"transfer: is {self._phase.value} already; it was left as it is")
