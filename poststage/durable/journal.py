"""Checksummed lines, and the torn-tail rule.

A line is eight lower-case hex digits (zlib crc32 of the payload), a space, the
payload, a newline. A crash while appending leaves a tail in which no line is
whole: it is tolerated when read and cut before the next append. A bad line with
a whole one behind it is damage: bytes that were once durable have changed.
"""

import os
import re
import zlib
from collections.abc import Iterator

LINE_MAX = 64 * 1024  # bytes with checksum and newline; two paths of 4 KiB fully escaped fit
_CHUNK = 1 << 20
_PREFIX = 9  # "xxxxxxxx "
_LIKE_A_LINE = re.compile(rb"(?m)^[0-9a-f]{8} .*(?=\n)")


class DamageError(ValueError):
    """Line `line` (from 1) is damaged and is not a torn tail."""

    def __init__(self, line: int, fact: str) -> None:
        super().__init__(f"line {line}: {fact}")
        self.line = line
        self.fact = fact


def frame(payload: bytes) -> bytes:
    """`payload` (no newline in it) as one line of a journal."""
    line = b"%08x %s\n" % (zlib.crc32(payload), payload)
    if len(line) > LINE_MAX:
        raise ValueError(f"a record of {len(payload)} bytes is longer than a line may be")
    return line


def _payload(line: bytes) -> bytes | None:
    """The payload of a line without its newline; None if its checksum does not fit."""
    payload = line[_PREFIX:]
    return payload if line[:_PREFIX] == b"%08x " % zlib.crc32(payload) else None


def payloads(fd: int, *, limit_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Each whole line's payload of the journal open at `fd`, with the offset behind it.

    Reads in bounded pieces from offset 0 to where the file ends now (one that somebody goes
    on appending to has an end as well), and never more than `limit_bytes`. What stands behind
    the last yielded offset is a torn tail.

    Raises:
        DamageError: a line is damaged and a whole one follows, or a limit is exceeded.
        OSError: from pread(2).
    """
    size = os.fstat(fd).st_size
    if size > limit_bytes:
        raise DamageError(1, f"the file is longer than {limit_bytes} bytes")
    pending, offset, number, end = b"", 0, 0, 0
    while chunk := os.pread(fd, min(_CHUNK, size - offset), offset):
        offset += len(chunk)
        *lines, pending = (pending + chunk).split(b"\n")
        for place, line in enumerate(lines):
            number += 1
            payload = _payload(line) if len(line) < LINE_MAX else None
            if payload is None:
                rest = b"\n".join([*lines[place + 1 :], pending])
                return _expect_torn(fd, rest, offset, size, number)
            end += len(line) + 1
            yield payload, end
        pending = pending[:LINE_MAX]  # as bad as it was, and memory stays bounded
    return None


def _expect_torn(fd: int, rest: bytes, offset: int, size: int, bad: int) -> None:
    """DamageError if a line behind the bad one is whole: `rest`, or from `offset` to `size`.

    What does not look like a line is passed over at the speed of a search.
    """
    while rest:
        *_, tail = rest.rpartition(b"\n")
        for line in _LIKE_A_LINE.findall(rest, 0, len(rest) - len(tail)):
            if len(line) < LINE_MAX and _payload(line) is not None:
                raise DamageError(bad, "checksum mismatch")
        chunk = os.pread(fd, min(_CHUNK, size - offset), offset)
        rest = tail[:LINE_MAX] + chunk if chunk else b""
        offset += len(chunk)


def append(fd: int, records: bytes) -> None:
    """Write whole `records` (framed lines) at the end of the journal; not yet durable.

    `fd` is open with O_APPEND and nobody else appends. A short write is continued.
    """
    view = memoryview(records)
    while view:
        view = view[os.write(fd, view) :]


def cut_torn_tail(fd: int, whole_bytes: int) -> None:
    """Drop what stands behind the last whole line; the caller holds the journal's lock."""
    if os.fstat(fd).st_size > whole_bytes:
        os.ftruncate(fd, whole_bytes)
