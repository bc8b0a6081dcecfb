"""What a command line names as sources → `Item`s. Reads directories and lists only."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from poststage import names
from poststage.agent import explain, items
from poststage.agent.items import Item
from poststage.errors import UsageError


def of_paths(source: bytes, destination: bytes) -> list[Item]:
    """SRC and DEST as cp takes them, but that a directory's DEST is always the tree's root.

    A symlink given as SRC stands for what it points to, under the link's name.

    Raises:
        SourceError, UsageError: see `items.listed` and `items.item_of`.
    """
    path = items.absolute_source(source)
    if os.path.isdir(path):
        return list(items.listed(path, items.absolute(destination)))
    target = items.absolute(destination)
    if destination.endswith(b"/") or os.path.isdir(target):
        target = items.absolute(os.path.join(target, os.path.basename(path)))
    real = os.path.realpath(path) if os.path.islink(path) else path
    return [*reversed(list(items.implied(real, target))), items.item_of(real, target)]


def of_list(path: bytes, *, null: bool) -> list[Item]:
    """What the list at `path` names (`-`: stdin): SOURCE<TAB>DESTINATION lines.

    With `null`: SOURCE, DESTINATION in turn, each ended by a NUL, for names with tabs or
    newlines. Symlinks stay symlinks; a directory is refused.

    Raises:
        UsageError: the list cannot be read or is none; names the line.
        SourceError: a source is missing, special or a directory.
    """
    what = f"list {names.shown(path)}"
    with explain.explained(what, "nothing was recorded"), _opened(path) as stream:
        content = stream.read()
    pairs = _nul_pairs(content, what) if null else _line_pairs(content, what)
    found: dict[bytes, Item] = {}
    result: list[Item] = []
    for source, destination in pairs:
        item = items.item_of(items.absolute_source(source), items.absolute(destination))
        for directory in items.implied(item.source, item.destination):
            if directory.destination not in found:
                found[directory.destination] = directory
                result.append(directory)
        result.append(item)
    return result


def _opened(path: bytes) -> BinaryIO:
    return os.fdopen(os.dup(0), "rb") if path == b"-" else open(path, "rb")


def _line_pairs(content: bytes, what: str) -> Iterator[tuple[bytes, bytes]]:
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        parts = line.split(b"\t")
        if len(parts) != 2 or not all(parts):
            raise UsageError(
                f"{what}: line {number}: is not SOURCE<TAB>DESTINATION; nothing was recorded",
                hint="names with a tab or a newline need -0",
            )
        yield parts[0], parts[1]


def _nul_pairs(content: bytes, what: str) -> Iterator[tuple[bytes, bytes]]:
    parts = content.split(b"\0")
    if parts[-1] == b"":
        parts.pop()
    if len(parts) % 2 or not all(parts):
        raise UsageError(
            f"{what}: is not SOURCE, DESTINATION in turn ({len(parts)} names); "
            "nothing was recorded",
            hint="each name ends with a NUL: printf '%s\\0%s\\0' SOURCE DESTINATION",
        )
    yield from zip(parts[::2], parts[1::2], strict=True)
