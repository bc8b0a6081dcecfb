"""What the stages of one window share: its state files, its steps, its open directories."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from msgspec import Struct

from poststage.backends.base import Answer
from poststage.finalize.dirs import Dirs
from poststage.finalize.outcome import Outcomes
from poststage.finalize.pending import Loaded
from poststage.finalize.plan import Plan
from poststage.finalize.seen import Fate, Seen
from poststage.model import Entry, Foreign, Kind, State, TransferState, Verdict
from poststage.statefile.entries import Entries

Pool = Executor

_FATES = {
    TransferState.FULLSUCCESS: Fate.DONE,
    TransferState.FAILED: Fate.FAILED,
    TransferState.CANCELED: Fate.FAILED,
    TransferState.NOTSTARTED: Fate.PENDING,
    TransferState.INPROGRESS: Fate.PENDING,
    TransferState.STOPPED: Fate.PENDING,
    TransferState.PARTIALSUCCESS: Fate.UNPROVEN,
    TransferState.UNKNOWN: Fate.UNKNOWN,
}
_SAYS = {
    Fate.DONE: "",
    Fate.FAILED: "its transfer failed",
    Fate.PENDING: "its transfer is still running",
    Fate.UNPROVEN: "its transfer failed in part",
    Fate.UNKNOWN: "the backend does not know",
}

_NOT_TOLD = "its transfer is said to be whole, and nothing is said of this file"
_MOVED = frozenset({Kind.FILE, Kind.SYMLINK})

STOPPED = "its transfer is stopped"
"""How the reason begins, where waiting does not help."""


class Job:
    """One state file of a window: what it says, what its backend says, what came of it."""

    def __init__(self, loaded: Loaded, state: State, answer: Answer) -> None:
        self.pending = loaded.pending
        self.state = state
        self.answer = answer
        self.outcomes = Outcomes(len(state.entries))

    @property
    def is_published(self) -> bool:
        """Whether every entry is marked as published."""
        return self.outcomes.marked == len(self.state.entries) and self.state.recorded

    def undecided(self) -> Iterator[tuple[int, Entry]]:
        """The files and symlinks that have no verdict yet, of this run or an earlier one."""
        ended, outcomes, entries = self.state.ended, self.outcomes, self.state.entries
        for index in outcomes.unmarked():
            if index not in ended and index not in outcomes and entries[index].kind in _MOVED:
                yield index, entries[index]

    def open_entries(self, kind: Kind) -> list[tuple[int, Entry]]:
        """The entries of `kind` (not FILE) without a recorded verdict, each with its index."""
        entries, ended = self.state.entries, self.state.ended
        others = entries.others if isinstance(entries, Entries) else range(len(entries))
        found = [(index, entries[index]) for index in sorted(others) if index not in ended]
        return [(index, entry) for index, entry in found if entry.kind is kind]

    def verdict(self, index: int) -> Verdict | None:
        """How entry `index` ended, in this run or an earlier one; None if not at all yet."""
        if index in self.outcomes:
            return self.outcomes[index].verdict
        ended = self.state.ended.get(index)
        return None if ended is None else ended.verdict

    def foreign(self, index: int) -> Foreign | None:
        """What another library recorded of entry `index` besides; None for one of ours."""
        return None if self.state.foreign is None else self.state.foreign[index]

    def seen(self, index: int, entry: Entry) -> Seen:
        """What the backend says of one entry; its names are not looked at yet."""
        fate, reason, closed = fate_of(self.answer, index)
        return Seen(entry, fate, reason, closed_mtime_ns=closed)


class Step(Struct, frozen=True):
    """One entry that is prepared and waits for its name."""

    job: Job
    index: int
    seen: Seen
    plan: Plan
    directory: bytes
    """The destination's directory."""
    changed: bool = False


class Work(Struct, frozen=True):
    """The tools of one window."""

    dirs: Dirs
    stopped: Callable[[], bool]
    """Whether to stop at the next file (a signal came, or the deadline)."""
    restore_owners: bool = False
    hold: bool = False
    """Publish nothing: the dataset is not ready as a whole."""
    pool: Pool | None = None
    """Threads that may help with one state file of many files."""
    places_max: int = 512
    """Directories of one batch."""
    delete_incomplete: bool = False
    """Of a file that AXL wrote under its final name, too."""


def fate_of(answer: Answer, index: int) -> tuple[Fate, str, int | None]:
    """Fate, reason and the temp's closing mtime of entry `index`, from the backend's answer."""
    one = answer.files.get(index)
    if one is None and answer.files and answer.state is TransferState.FULLSUCCESS:
        return Fate.UNKNOWN, _NOT_TOLD, None
    if one is None or answer.state is TransferState.UNKNOWN:
        fate = _FATES[answer.state]
        if answer.state is TransferState.FAILED:
            fate = Fate.UNPROVEN  # nothing says whether this file was whole
        return fate, _reason(answer.state, answer.reason) or _SAYS[fate], None
    fate = _FATES[one.state]
    if fate is Fate.PENDING and answer.state.ended:
        # Nobody copies it any more. Of a transfer that is said to be whole, that is no answer.
        whole = answer.state is TransferState.FULLSUCCESS
        fate = Fate.UNKNOWN if whole else Fate.FAILED
    state = answer.state if fate is Fate.PENDING else one.state
    return fate, _reason(state, one.reason or answer.reason) or _SAYS[fate], one.mtime_ns


def why_pending(answer: Answer) -> str:
    """Why the transfer of `answer`, which has not ended, has not."""
    return _reason(answer.state, answer.reason) or _SAYS[Fate.PENDING]


def _reason(state: TransferState, reason: str) -> str:
    """`reason`; of a stopped transfer, which no later run finds ended, with the way out."""
    if state is not TransferState.STOPPED:
        return reason
    return f"{STOPPED}: {reason or '`poststage resume` where its source is continues it'}"


def deadline(seconds: float) -> Callable[[], float]:
    """A function that tells the seconds left, never below 0."""
    end = time.monotonic() + seconds
    return lambda: max(0.0, end - time.monotonic())
