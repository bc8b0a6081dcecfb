"""KVTree files, the format of AXL and SCR: bytes ↔ tree, strict, bounded and total.

Everything big-endian: magic u32, type u16, version u16, size u64 (header through checksum),
flags u32 (bit 0: checksum there), tree, crc32 u32. A tree is a u32 count and that many times
(key without NUL, NUL, tree). A value `k=v` is a key k whose only child is v.

Stricter than the library that writes them: no key twice in one tree, a checksum, the size
that is announced, limits. Bytes after the announced size are passed over, as there: a kill
between write and truncate leaves the tail of a longer, older file behind a whole newer one.
"""

import struct
import zlib
from typing import TypeAlias

from poststage.names import shown

MAGIC = b"\x95\x1f\xc3\xf5"
FILE_MAX = 256 << 20  # bytes
NODES_MAX = 4_000_000  # keys and values of one file; about 150,000 files of AXL's
DEPTH_MAX = 16  # SCR's deepest is 9
_KEY_MAX = 64 * 1024  # bytes

_HEADER = struct.Struct(">4sHHQI")
_U32 = struct.Struct(">I")
_CRC_THERE = 1
_SMALLEST = _HEADER.size + 2 * _U32.size
_ENTRY_LEAST = 1 + _U32.size  # an empty key's NUL, and its empty tree

Tree: TypeAlias = dict[bytes, "Tree"]

_LEAF: Tree = {}  # shared by all leaves of what is read; never changed


def parse(raw: bytes) -> Tree:
    """The tree in a KVTree file's bytes; do not change it.

    Raises:
        ValueError: it is not one, is damaged, or exceeds a limit; the text says where.
    """
    if len(raw) < _SMALLEST:
        raise ValueError(f"is cut short: {len(raw)} bytes")
    magic, kind, version, size, flags = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise ValueError("is not a KVTree file")
    if (kind, version) != (1, 1):
        raise ValueError(f"KVTree type {kind} version {version} is not known (this is 1, 1)")
    if not _SMALLEST <= size <= len(raw):
        raise ValueError(f"announces {size} bytes and has {len(raw)}")
    if flags != _CRC_THERE:
        raise ValueError(f"flags are {flags}, not 1: it has no checksum")
    end = size - _U32.size
    if zlib.crc32(memoryview(raw)[:end]) != _U32.unpack_from(raw, end)[0]:
        raise ValueError("checksum mismatch")
    parser = _Parser(raw, end)
    tree = parser.tree(_HEADER.size, 1)
    if parser.at != end:
        raise ValueError(f"{end - parser.at} bytes stand between the tree and its checksum")
    return tree


class _Parser:
    """Reads one tree after another; `at` is the offset behind the last."""

    def __init__(self, raw: bytes, end: int) -> None:
        self._raw, self._end = raw, end
        self._left = NODES_MAX
        self.at = 0

    def tree(self, at: int, depth: int) -> Tree:
        """The tree at offset `at`."""
        if at + _U32.size > self._end:
            raise ValueError(f"offset {at}: the tree is cut short")
        count = _U32.unpack_from(self._raw, at)[0]
        self.at = at + _U32.size
        if not count:
            return _LEAF
        self._left -= count
        if count > (self._end - self.at) // _ENTRY_LEAST:
            raise ValueError(f"offset {at}: announces {count} keys, more than there is room for")
        if self._left < 0 or depth > DEPTH_MAX:
            raise ValueError(f"more than {NODES_MAX} keys, or nested deeper than {DEPTH_MAX}")
        found: Tree = {}
        for _ in range(count):
            key = self._key(self.at)
            if key in found:
                raise ValueError(f"offset {self.at}: key {shown(key[:80])} stands there twice")
            found[key] = self.tree(self.at, depth + 1)
        return found

    def _key(self, at: int) -> bytes:
        nul = self._raw.find(b"\0", at, min(self._end, at + _KEY_MAX))
        if nul < 0:
            raise ValueError(f"offset {at}: a key has no end within {_KEY_MAX} bytes")
        self.at = nul + 1
        return self._raw[at:nul]


def build(tree: Tree) -> bytes:
    """The file's bytes for `tree`; ValueError for a key that cannot be written."""
    body = bytearray()
    _put(tree, body)
    size = _HEADER.size + len(body) + _U32.size
    whole = _HEADER.pack(MAGIC, 1, 1, size, _CRC_THERE) + body
    return whole + _U32.pack(zlib.crc32(whole))


def _put(tree: Tree, body: bytearray) -> None:
    body += _U32.pack(len(tree))
    for key, child in tree.items():
        if b"\0" in key:
            raise ValueError("a key has a NUL byte")
        body += key + b"\0"
        _put(child, body)


def text(tree: Tree, key: bytes) -> bytes | None:
    """The value of `key`; None if there is none.

    Raises:
        ValueError: `key` has several values, or one with something below it.
    """
    child = tree.get(key)
    if child is None:
        return None
    if len(child) != 1:
        raise ValueError(f"{shown(key)} has {len(child)} values")
    [(value, below)] = child.items()
    if below:
        raise ValueError(f"{shown(key)} is not a plain value")
    return value


def number(tree: Tree, key: bytes, low: int, high: int) -> int | None:
    """The decimal value of `key`, in `low` to `high`; None if there is none.

    Raises:
        ValueError: it is not written as a decimal number, or out of range.
    """
    value = text(tree, key)
    if value is None:
        return None
    digits = value.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"{shown(key)} is {shown(value[:40])}, not a number")
    result = int(value)
    if not low <= result <= high:
        raise ValueError(f"{shown(key)} is {result}, out of range")
    return result
