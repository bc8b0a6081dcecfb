"""What a daemon's owner may add to plain copying: where sources are, limits, faults."""

import os
import threading
import time
from typing import Any, Protocol

from poststage.copier import engine
from poststage.copier.records import ItemRecord
from poststage.errors import UsageError
from poststage.names import from_text, shown


class Manners(Protocol):
    """The seam between the daemon and the emulator; called from several threads."""

    waits_for_sources: bool
    """After a restart: leave a transfer STOPPED whose sources are not there, unchanged."""

    def generation(self) -> int:
        """How many burst buffers were detached so far; recorded when a transfer starts."""

    def open_source(self, path: bytes, generation: int) -> int:
        """A descriptor of the source for reading. OSError passes."""

    def piece(self, item: ItemRecord, position: int, offset: int, want: int) -> tuple[int, float]:
        """How many bytes (1 to `want`) come next, and the seconds to wait before them.

        `position` is the file's place in its transfer, from 1. Raises CopyError to fail it.
        """

    def final_size(self, item: ItemRecord, position: int) -> int:
        """The size that the temp file gets."""

    def delay_s(self, op: str) -> float:
        """How long the answer to the request `op` is held back; infinite for never."""

    def control(self, op: str, value: Any) -> Any:
        """Carry out one of the owner's own requests. Raises PoststageError."""


class Pace:
    """A limit in bytes per second, shared by all threads. 0 is no limit."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, want: int) -> tuple[int, float]:
        """As `Manners.piece`: pieces of a tenth of a second, so that a stop is prompt."""
        if self.bytes_per_s <= 0:
            return want, 0.0
        count = max(1, min(want, int(self.bytes_per_s / 10)))
        with self._lock:
            now = time.monotonic()
            start = max(self._free_at, now)
            self._free_at = start + count / self.bytes_per_s
            return count, self._free_at - now


class Plain:
    """Copying and nothing else, at most `bytes_per_s` (0: unlimited)."""

    waits_for_sources = True

    def __init__(self, bytes_per_s: float = 0) -> None:
        self._pace = Pace(bytes_per_s)

    def generation(self) -> int:
        return 0

    def open_source(self, path: bytes, generation: int) -> int:
        del generation
        return engine.open_source(path)

    def piece(self, item: ItemRecord, position: int, offset: int, want: int) -> tuple[int, float]:
        del item, position, offset
        return self._pace.take(want)

    def final_size(self, item: ItemRecord, position: int) -> int:
        del position
        return item.size

    def delay_s(self, op: str) -> float:
        del op
        return 0.0

    def control(self, op: str, value: Any) -> Any:
        del value
        raise UsageError(f"this daemon does not know {op}; nothing was changed")


def sources_wrong(manners: Manners, items: list[ItemRecord], generation: int) -> str:
    """Why the copying of `items` cannot go on here; "" if every source is as recorded."""
    for item in items:
        fact = source_wrong(manners, item, generation)
        if fact:
            return fact
    return ""


def source_wrong(manners: Manners, item: ItemRecord, generation: int) -> str:
    """As `sources_wrong`, for one file."""
    path = from_text(item.source)
    try:
        fd = manners.open_source(path, generation)
    except OSError as error:
        return f"source {shown(path)}: {error.strerror}"
    try:
        change = engine.source_change(fd, item.size, item.mtime_ns)
    finally:
        os.close(fd)
    return f"source {shown(path)}: {change}" if change else ""
