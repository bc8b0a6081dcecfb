"""What a backend is: a `Mover` where the job runs, a `Probe` where the finalizer runs.

The two never share a process. A mover hands files over; a probe answers, often on
another node, when the job, its sources and its processes are gone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from poststage.model import TransferState


class Capabilities(Struct, frozen=True):
    """What a backend can and cannot do; the agent and the finalizer ask, never guess."""

    handle_before_start: bool
    """The handle exists before the transfer starts, so it is durable first."""
    per_file_answers: bool
    """`Answer.files` tells each file's fate, also in a failed transfer."""
    outlives_job: bool
    """Transfers go on when the allocation has ended."""
    resumable: bool
    """A STOPPED transfer continues where its source is (`poststage resume`)."""
    keeps_until_forgotten: bool = False
    """What has ended is kept until `Probe.forget`; else the vendor drops it by itself."""
    any_names: bool = True
    """Names may be any bytes; else a start with a name that is not UTF-8 is refused."""


class Item(Struct, frozen=True):
    """One file to move: bytes of `source` into the temp file `target` (absolute paths).

    `size` (bytes) and `mtime_ns` are the source's when it was recorded; a backend that
    can, fails the file when the source no longer has them.
    """

    index: int
    source: bytes
    target: bytes
    size: int
    mtime_ns: int


class FileAnswer(Struct, frozen=True):
    """What the backend says of one file."""

    state: TransferState
    """FULLSUCCESS, FAILED, CANCELED, or one that has not ended."""
    reason: str = ""
    mtime_ns: int | None = None
    """The temp file's mtime when the backend closed it, where it can tell."""


class Answer(Struct, frozen=True):
    """What the backend says of one transfer. UNKNOWN is an answer and means: keep everything."""

    state: TransferState
    files: Mapping[int, FileAnswer] = {}
    """By entry index; empty where the backend does not tell files apart."""
    reason: str = ""
    bytes_done: int | None = None


class Mover(Protocol):
    """The compute node's side. Every method may raise BackendError."""

    capabilities: Capabilities

    def handle(self, tag: str) -> str:
        """The handle for `tag`, made if there is none: asking twice gives the same one."""

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """Move `items`; returns when they are accepted, not when they are moved.

        The same start twice is one transfer. The targets' directories exist.
        """

    def close(self) -> None:
        """Let go of the backend; transfers go on."""


class Probe(Protocol):
    """The post-stage node's side."""

    capabilities: Capabilities

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """One answer for each of `handles`, in one round trip where the vendor allows.

        Never raises for a backend that is away: that is UNKNOWN with its reason.
        """

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """Tag → handle for those that the backend knows. Raises BackendError if it is away."""

    def cancel(self, handle: str) -> Answer:
        """Make the backend stop writing. On return nothing more is written if `state.ended`.

        Never started: it can never be started after this. Idempotent.
        """

    def resume(self, handle: str) -> Answer:
        """Let a STOPPED transfer go on here, from what is proven to be copied."""

    def forget(self, handles: Sequence[str]) -> None:
        """Drop what is kept of those of `handles` that have ended: nobody asks any more.

        The others are left as they are. Raises BackendError if the backend is away.
        """

    def close(self) -> None:
        """Let go of the backend."""


class Context(Struct, frozen=True):
    """What a backend is opened with."""

    state_dir: Path
    settings: Mapping[str, Any]
    """The table `[backend.NAME]` of the site's TOML, defaults filled in."""


class Backend(Struct, frozen=True):
    """What an entry point of the group `poststage.backends` gives."""

    name: str
    open_mover: Callable[[Context], Mover]
    open_probe: Callable[[Context], Probe]
    defaults: Mapping[str, Any] = {}
    """Settings that its table may have, with their defaults (which fix their types)."""
    least: Mapping[str, float] = {}
    """The least that a number of `defaults` can be, where that is not 0."""
    paths: frozenset[str] = frozenset()
    """Those of `defaults` that are absolute paths, or "" for none."""
