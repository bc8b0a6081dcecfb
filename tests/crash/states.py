"""When two states of a directory are the same to a program that is started there.

Nothing lives on of a run that was killed but the tree that it left: what the next run makes of it
depends on names, links, contents, owners, modes and times. So inode numbers are counted anew here,
and times of this very test are all one, in the project's own records too.
"""

import re
import time
import zlib
from collections.abc import Callable, Hashable

from msgspec.structs import replace

from tests.crash.trees import Node, Tree

_DAY_NS = 24 * 3600 * 10**9
_OF_A_RUN = re.compile(rb'\b\d{19}\b|"ino":\d+|"pid": \d+|\b20\d\d-\d\d-\d\dT[0-9:.]+')


def key(tree: Tree, is_record: Callable[[bytes], bool]) -> Hashable:
    """The same for two trees that are the same; `is_record` tells names of the project's own."""
    inodes: dict[int, int] = {}
    for _, node in sorted(tree.items()):
        inodes.setdefault(node.ino, len(inodes))
    return tuple(
        (name, _plain(node, inodes, is_record=is_record(name)))
        for name, node in sorted(tree.items())
    )


def _plain(node: Node, inodes: dict[int, int], *, is_record: bool) -> Node:
    content = node.content
    if is_record:
        content = b"\n".join(_line(line, inodes) for line in content.split(b"\n"))
    times = {"atime_ns": _time(node.atime_ns), "mtime_ns": _time(node.mtime_ns)}
    return replace(node, ino=inodes[node.ino], content=content, **times)


def _time(time_ns: int) -> int:
    return 0 if abs(time_ns - time.time_ns()) < _DAY_NS else time_ns


def _line(line: bytes, inodes: dict[int, int]) -> bytes:
    payload = line[9:]
    if line[:9] == b"%08x " % zlib.crc32(payload):  # a record; a torn one stays as it is
        line = payload
    return _OF_A_RUN.sub(lambda found: _word(found[0], inodes), line)


def _word(word: bytes, inodes: dict[int, int]) -> bytes:
    if word.isdigit():
        return b"%d" % _time(int(word))
    if word.startswith(b'"ino":'):
        ino = int(word[6:])
        return b'"ino":%d' % inodes[ino] if ino in inodes else word
    return b"now"
