"""How values look to people. Rich is imported on a terminal alone; elsewhere it is plain text."""

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TextIO

from poststage.names import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS, _COLUMNS_LEAST = 80, 20
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(size_bytes: int) -> str:
    """`12 B`, `1.2 MB`: three digits or so, powers of 1000."""
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return (
        f"{size_bytes} B" if unit == 0 else f"{value:.{1 if value < 99.95 else 0}f} {_UNITS[unit]}"
    )


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`; nouns in -y that need it are given as `entr/y/ies`."""
    stem, one, many = noun.split("/") if "/" in noun else (noun, "", "s")
    return f"{number} {stem}{one if number == 1 else many}"


def time(time_ns: int) -> str:
    """`2025-01-31T12:00:00.123456789Z`; seconds since 1970 where no calendar year fits."""
    seconds, ns = divmod(time_ns, 10**9)
    fraction = f".{ns:09d}" if ns else ""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"@{seconds}{fraction}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def wrapped(text: str, stream: TextIO) -> str:
    """`text`, a line, as it is; on a terminal in lines that end between words.

    A word that is longer than a line, a path say, is left whole, for the terminal to fold.
    """
    if not stream.isatty():
        return text
    return textwrap.fill(
        text,
        _columns(stream),
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns(stream: TextIO) -> int:
    chosen = os.environ.get("COLUMNS", "")
    try:
        found = int(chosen) if chosen.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except OSError:
        found = 0
    return max(found, _COLUMNS_LEAST) if found else _COLUMNS


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, to: TextIO | None = None
) -> None:
    """Print `rows` below `columns`; a column whose title starts with `>` is set to the right.

    Cells are shown as they are, never as markup; control characters are escaped here.
    """
    stream = to or sys.stdout
    grid = [[shown(cell) for cell in row] for row in rows]
    if stream.isatty():
        _for_terminal(columns, grid, stream)
        return
    for line in _aligned(columns, grid):
        print(line, file=stream)


def _aligned(columns: Sequence[str], grid: list[list[str]]) -> Iterator[str]:
    """Plain lines of any length: nothing is wrapped or cut for a file or a pipe."""
    titles = [title.lstrip(">") for title in columns]
    widths = [max(map(len, column)) for column in zip(titles, *grid, strict=True)]
    for row in [titles, *grid]:
        cells = [
            cell.rjust(width) if title.startswith(">") else cell.ljust(width)
            for cell, width, title in zip(row, widths, columns, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _for_terminal(columns: Sequence[str], grid: list[list[str]], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    style = "" if os.environ.get("NO_COLOR") else "bold"
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=style)
    for title in columns:
        right = title.startswith(">")
        drawn.add_column(
            Text(title.lstrip(">")), justify="right" if right else "left", overflow="fold"
        )
    for row in grid:
        drawn.add_row(*map(Text, row))
    Console(file=stream, highlight=False, markup=False, emoji=False).print(drawn)
