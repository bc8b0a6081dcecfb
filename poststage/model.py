"""Frozen values and enums that every layer shares. Imports nothing of ours.

`msgspec.Struct` instead of a dataclass: a million of these are made in one run,
and construction is several times cheaper.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct


class Named(Enum):
    """An enum whose members hash by identity: at once, where Enum hashes the name each time."""

    __hash__ = object.__hash__


class Kind(Named):
    """What an entry is at its destination."""

    FILE = "file"
    """Regular file; the backend moves its bytes."""
    SYMLINK = "symlink"
    """Symbolic link; made by the finalizer from the recorded target."""
    LINK = "link"
    """Further name of a file of the same transfer; made by the finalizer."""
    DIRECTORY = "directory"
    """Directory that the agent makes before the transfer; gets its mode last."""


class Verdict(Named):
    """How one entry ended."""

    PUBLISHED = "published"
    """It has its destination name, owner, mode and times, durably."""
    FAILED = "failed"
    """The transfer of it failed or was cancelled; its partial temp file is gone."""
    CONFLICT = "conflict"
    """Something else took the destination meanwhile; both are kept."""
    RUNNING = "running"
    """The backend (or the agent) may still write it; run again later."""
    LOST = "lost"
    """Neither temp file nor a destination that fits the record is there."""
    UNKNOWN = "unknown"
    """Nobody can say; everything is kept."""

    @property
    def final(self) -> bool:
        """Whether the verdict is recorded and the entry never looked at again."""
        return self in _FINAL

    @property
    def needs_person(self) -> bool:
        """Whether running again cannot help."""
        return self in _NEEDS_PERSON


_FINAL = frozenset({Verdict.PUBLISHED, Verdict.FAILED, Verdict.CONFLICT})
_NEEDS_PERSON = frozenset({Verdict.FAILED, Verdict.CONFLICT, Verdict.LOST})


class TransferState(Named):
    """How a transfer stands at its backend (the names are IBM bbAPI's BBSTATUS)."""

    NOTSTARTED = "NOTSTARTED"
    """The handle exists, the transfer was never started."""
    INPROGRESS = "INPROGRESS"
    """Files are waiting or being copied."""
    STOPPED = "STOPPED"
    """Interrupted, nobody copies now; can be continued where the source is."""
    FULLSUCCESS = "FULLSUCCESS"
    """Every file was copied."""
    PARTIALSUCCESS = "PARTIALSUCCESS"
    """Some files were copied, some failed."""
    FAILED = "FAILED"
    """Ended in failure."""
    CANCELED = "CANCELED"
    """Cancelled; nothing is written any more."""
    UNKNOWN = "UNKNOWN"
    """The backend did not answer or does not know the handle; never rounded to success."""

    @property
    def ended(self) -> bool:
        """Whether the backend says that it writes nothing any more."""
        return self in _ENDED


_ENDED = frozenset(
    {
        TransferState.FULLSUCCESS,
        TransferState.PARTIALSUCCESS,
        TransferState.FAILED,
        TransferState.CANCELED,
    }
)


class Meta(Struct, frozen=True, gc=False):
    """What is restored: size in bytes, ids, permission bits (07777), times in ns."""

    size: int
    uid: int
    gid: int
    mode: int
    atime_ns: int
    mtime_ns: int


class Identity(Struct, frozen=True, gc=False):
    """What stood at a destination: enough to know it again from another node.

    No device number: it differs between nodes that mount the same file system.
    """

    ino: int
    size: int
    mtime_ns: int


class Entry(Struct, frozen=True):
    """One name of a transfer. `destination` is absolute; `temp` is a name beside it."""

    kind: Kind
    source: bytes
    destination: bytes
    temp: bytes
    meta: Meta
    prior: Identity | None = None
    """What stood at the destination when the transfer was created; None for nothing."""
    checksum: str | None = None
    """`xxh3_128:` and 32 hex digits of the source's content."""
    target: bytes | None = None
    """SYMLINK: what it points to."""
    link_to: int | None = None
    """LINK: index of the FILE entry of the same transfer that it is a name of."""


class Head(Struct, frozen=True):
    """What a state file says of its transfer as a whole."""

    id: str
    """16 lower-case hex digits; the tag by which the backend can find the transfer."""
    dataset: str
    part: int
    """Which part of the dataset: the rank, the node's number, or 0 (scope rank, node, job)."""
    parts: int
    """How many parts the dataset has."""
    backend: str
    created_ns: int
    host: str = ""
    job: str = ""
    pid: int = 0
    move: bool = False
    """Delete each source when its file is published and durable."""
    ends_with_job: bool = False
    """What still runs when the job is gone is cancelled, not waited for."""


class Ended(Struct, frozen=True):
    """A recorded verdict of one entry, with its reason."""

    verdict: Verdict
    reason: str = ""


class Foreign(Struct, frozen=True):
    """What another library's state file (AXL's) tells of an entry besides, or does not."""

    in_place: bool = False
    """The transfer writes the destination under its own name: `temp` is that name."""
    sized: bool = False
    """Nobody can be asked and nobody writes it any more: its size is the evidence."""
    changed_ns: int | None = None
    """ctime of the source at the start: whatever the transfer wrote is younger."""
    doubt: Ended | None = None
    """Why nothing can be done for it, and what it therefore is; None if something can."""


class State(Struct, frozen=True):
    """The value of one state file."""

    head: Head
    entries: Sequence[Entry]
    recorded: bool
    """Whether the agent wrote that all entries are there (before that, nothing is started)."""
    handle: str | None
    started: bool
    cancelled: bool
    ended: dict[int, Ended]
    """Entry index → recorded final verdict."""
    torn: bool
    """Whether a torn last line was passed over."""
    whole_bytes: int = 0
    """Size of the file without its torn tail: where an append begins."""
    foreign: tuple[Foreign, ...] | None = None
    """For each entry, if the file is not one of ours; it is never written then."""
