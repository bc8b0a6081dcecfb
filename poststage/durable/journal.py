"""Checksummed lines, and the torn-tail rule.

A line is eight lower-case hex digits (zlib crc32 of the payload), a space, the
payload, a newline. A crash while appending leaves a tail in which no line is
whole: it is tolerated when read and cut before the next append. A bad line with
a whole one behind it is damage: bytes that were once durable have changed.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import takewhile

from msgspec import Struct

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


class Block(Struct, frozen=True):
    """Whole lines that were read at once: from offset `start` to `end`, without checksums."""

    start: int
    end: int
    payloads: list[bytes]


def frame(payload: bytes) -> bytes:
    """`payload` (no newline in it) as one line of a journal."""
    line = b"%08x %s\n" % (zlib.crc32(payload), payload)
    if len(line) > LINE_MAX:
        raise ValueError(f"a record of {len(payload)} bytes is longer than a line may be")
    return line


def _is_whole(line: bytes) -> bool:
    """Whether the checksum of a line (without its newline) fits, and it is not too long."""
    return len(line) < LINE_MAX and line[:_PREFIX] == b"%08x " % zlib.crc32(line[_PREFIX:])


def payloads(fd: int, *, limit_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Each whole line's payload, as `blocks` finds them, with the offset behind it."""
    end = 0
    for block in blocks(fd, size=os.fstat(fd).st_size, limit_bytes=limit_bytes):
        for payload in block.payloads:
            end += _PREFIX + len(payload) + 1
            yield payload, end


def blocks(fd: int, *, size: int, limit_bytes: int) -> Iterator["Block"]:
    """The whole lines of the journal open at `fd`, many at once, in order.

    Reads in bounded pieces from offset 0 to `size` (so a file that somebody goes on appending
    to has an end as well). What stands behind the last block is a torn tail.

    Raises:
        DamageError: a line is damaged and a whole one follows, or `size` exceeds the limit.
        OSError: from pread(2).
    """
    if size > limit_bytes:
        raise DamageError(1, f"the file is longer than {limit_bytes} bytes")
    pending, offset, number, end = b"", 0, 0, 0
    while offset < size and (chunk := os.pread(fd, min(_CHUNK, size - offset), offset)):
        offset += len(chunk)
        *lines, pending = (pending + chunk).split(b"\n")
        texts = _payloads(lines)
        whole = len(texts)
        number += whole
        if texts:
            start, end = end, end + sum(map(len, texts)) + (_PREFIX + 1) * whole
            yield Block(start, end, texts)
        if whole < len(lines):
            rest = b"\n".join([*lines[whole + 1 :], pending])
            return _expect_torn(fd, rest, offset, size, number + 1)
        pending = pending[:LINE_MAX]  # as bad as it was, and memory stays bounded
    return None


def end_of(block: Block, lines: int) -> int:
    """The offset behind the first `lines` lines of `block`."""
    return block.start + sum(map(len, block.payloads[:lines])) + (_PREFIX + 1) * lines


def again(fd: int, start: int, end: int) -> list[bytes]:
    """The payloads of the block from offset `start` to `end`, which `blocks` has given before.

    Raises:
        DamageError: they are not what they were.
        OSError: from pread(2).
    """
    raw = os.pread(fd, end - start, start)
    *lines, rest = raw.split(b"\n")
    texts = _payloads(lines)
    if rest or len(texts) < len(lines) or len(raw) < end - start:
        raise DamageError(1, "changed while it was read")
    return texts


def _payloads(lines: list[bytes]) -> list[bytes]:
    """The payloads of `lines` (without their newlines) up to the first that is not whole."""
    if not lines:
        return []
    texts = [line[_PREFIX:] for line in lines]
    sums = struct.pack(f">{len(texts)}I", *map(zlib.crc32, texts)).hex(" ", 4) + " "
    found = b"".join([line[:_PREFIX] for line in lines])
    if sums.encode() == found and max(map(len, lines)) < LINE_MAX:
        return texts
    return [text for text, line in zip(texts, takewhile(_is_whole, lines), strict=False)]


def _expect_torn(fd: int, rest: bytes, offset: int, size: int, bad: int) -> None:
    """DamageError if a line behind the bad one is whole: `rest`, or from `offset` to `size`.

    What does not look like a line is passed over at the speed of a search.
    """
    while rest:
        *_, tail = rest.rpartition(b"\n")
        for line in _LIKE_A_LINE.findall(rest, 0, len(rest) - len(tail)):
            if _is_whole(line):
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
