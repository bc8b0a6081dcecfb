"""File names are bytes: how they are written as ASCII text, and how they are shown.

Written form (state files, sockets, JSON): every byte outside the printable
ASCII range, and each of `%`, `"` and `\\`, is `%XX` with upper-case hex digits.
Each name has exactly one written form, so a reader can insist on it.
"""

import re
from functools import lru_cache

NAME_MAX = 255  # bytes in one component, limits.h
PATH_MAX = 4096  # bytes in a path with its NUL, limits.h

_ESCAPED = re.compile(rb'[^ -~]|[%"\\]')
# An empty, `.` or `..` component, one that is too long, or a NUL.
_NO_COMPONENT = re.compile(rb"/\.{0,2}(?=/|\Z)|[^/]{256}|\0")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def to_text(name: bytes) -> str:
    """The one written form of `name`, printable ASCII without `"` and backslash."""
    if _ESCAPED.search(name) is None:
        return name.decode("ascii")
    return _ESCAPED.sub(lambda m: b"%%%02X" % m[0][0], name).decode("ascii")


def from_text(text: str) -> bytes:
    """The bytes that `text` stands for.

    Raises:
        ValueError: `text` is not the written form of any name.
    """
    plain = text.isascii() and text.isprintable() and "%" not in text
    if plain and '"' not in text and "\\" not in text:
        return text.encode("ascii")
    name = _ESCAPE.sub(lambda m: chr(int(m[1], 16)), text).encode("latin-1")
    if to_text(name) != text:
        raise ValueError("is not the written form of a name")
    return name


def shown(name: bytes | str) -> str:
    """`name` for a person's terminal: UTF-8 where it is harmless, escapes where it is not.

    Control characters, bidirectional overrides, invisible and invalid bytes
    become `\\xNN` or `\\uNNNN`; the result never changes a terminal's state.
    """
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    return text if text.isascii() and text.isprintable() else "".join(map(_shown_char, text))


@lru_cache(maxsize=4096)
def _shown_char(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if char.isprintable():  # str.isprintable is false for Cc, Cf (bidi), Zl, Zp, Cs, Co, Cn
        return char
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def temp_name(name: bytes, transfer_id: str, index: int) -> bytes:
    """The temp file's name beside destination `name`: hidden, unique, at most 255 bytes.

    `.` + as much of `name` as fits + `.` + transfer id + `-` + index + `.poststage`;
    the id is the transfer's tag at the backend, so a stray temp file names its transfer.
    """
    suffix = f".{transfer_id}-{index}.poststage".encode("ascii")
    return b"." + name[: NAME_MAX - 1 - len(suffix)] + suffix


def conflict_name(name: bytes, stamp: str, attempt: int) -> bytes:
    """`name~YYYYMMDD-HHMMSS~conflict~`, with `-N` before the last `~` from attempt 1 on."""
    number = f"-{attempt}" if attempt else ""
    suffix = f"~{stamp}~conflict{number}~".encode("ascii")
    return name[: NAME_MAX - len(suffix)] + suffix


def is_component(name: bytes) -> bool:
    """Whether `name` can stand for one file in a directory."""
    fits = 0 < len(name) <= NAME_MAX and name not in {b".", b".."}
    return fits and b"/" not in name and b"\0" not in name


def is_absolute(path: bytes) -> bool:
    """Whether `path` is absolute and has no empty, `.` or `..` component."""
    if path[:1] != b"/" or len(path) >= PATH_MAX:
        return False
    if len(path) <= NAME_MAX and b"//" not in path and b"/." not in path and b"\0" not in path:
        return path[-1:] != b"/"  # nothing in it could make a bad component: no search needed
    return _NO_COMPONENT.search(path) is None


def split(path: bytes) -> tuple[bytes, bytes]:
    """Directory and last component of an absolute path (as `is_absolute` accepts it)."""
    directory, _, name = path.rpartition(b"/")
    return directory or b"/", name
