"""Faults on demand: a frozen value, kept in the root so that it outlives the daemon."""

import fnmatch
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from poststage import names
from poststage.copier.records import ItemRecord
from poststage.durable import atomic
from poststage.errors import UsageError

FILE = b"faults.json"

Pattern = Annotated[str, Meta(min_length=1, max_length=4096)]
Number = Annotated[int, Meta(ge=1, le=2**31)]
Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Faults(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What goes wrong; nothing, as it stands. Patterns are fnmatch's, on the source's path
    in written form (names.py); a pattern without a slash is matched with the last name alone.
    """

    fail_pattern: Pattern | None = None
    """Files that fail."""
    fail_number: Number | None = None
    """The file that fails, by its place in every transfer, from 1."""
    fail_after_bytes: Bytes = 0
    """They fail when so many of their bytes are copied; a shorter file does not fail."""
    limit_mb_s: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """All files together, 10^6 bytes a second; 0 is no limit."""
    slow_s: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    """How long each answer takes."""
    hang: bool = False
    """Accept, and never answer."""
    short_pattern: Pattern | None = None
    """Files that are called copied although their temp file is cut to half its size."""
    die_after_bytes: Bytes | None = None
    """The daemon kills itself when so many bytes are copied; once."""

    def fails(self, item: ItemRecord, position: int, offset: int) -> bool:
        """Whether the copy of `item` fails at `offset`."""
        return self._is_to_fail(item, position) and offset >= self.fail_after_bytes

    def room(self, item: ItemRecord, position: int, offset: int, want: int) -> int:
        """How many bytes may come before the file fails: `want` if it does not."""
        if not self._is_to_fail(item, position):
            return want
        return min(want, max(1, self.fail_after_bytes - offset))

    def size(self, item: ItemRecord) -> int:
        """The size that the temp file of `item` gets."""
        cut = self.short_pattern is not None and _matches(self.short_pattern, item)
        return item.size // 2 if cut else item.size

    def _is_to_fail(self, item: ItemRecord, position: int) -> bool:
        if self.fail_pattern is None and self.fail_number is None:
            return False
        if self.fail_number is not None and self.fail_number != position:
            return False
        return self.fail_pattern is None or _matches(self.fail_pattern, item)


def _matches(pattern: str, item: ItemRecord) -> bool:
    name = item.source if "/" in pattern else item.source.rpartition("/")[2]
    return fnmatch.fnmatchcase(name, pattern)


def faults_of(value: Any) -> Faults:
    """The faults that plain JSON values stand for. UsageError if they stand for none."""
    try:
        return msgspec.convert(value, Faults)
    except msgspec.ValidationError as error:
        raise UsageError(f"faults: {error}; nothing was changed") from error


def load(root_fd: int) -> Faults:
    """The faults in force. UsageError if their file is damaged."""
    try:
        fd = os.open(FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)
    except FileNotFoundError:
        return Faults()
    try:
        return msgspec.json.decode(os.read(fd, 1 << 16), type=Faults)
    except ValueError as error:
        shown = names.shown(os.readlink(f"/proc/self/fd/{root_fd}"))
        raise UsageError(
            f"{Path(shown) / 'faults.json'}: {error}; the daemon was not started",
            hint="remove that file",
        ) from error
    finally:
        os.close(fd)


def store(root_fd: int, faults: Faults) -> None:
    """Put `faults` in force, durably."""
    atomic.replace_file(root_fd, FILE, msgspec.json.encode(faults) + b"\n")
