"""Rows → one table, for a terminal and for a page."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.measure import Row

_COLUMNS = ("workload", "ours", "floor", "× floor", "peer", "× peer", "goal", "note")
_WIDTHS = (52, -24, -36, -7, -30, -7, -14, 0)


def told(seconds: Sequence[float]) -> str:
    """`median (min-max)` with one unit; `-` for none."""
    if not seconds:
        return "-"
    middle = statistics.median(seconds)
    unit, factor = next(
        (unit, factor) for unit, factor, least in _UNITS if middle >= least or unit == "µs"
    )
    some = [f"{value * factor:.3g}" for value in (middle, min(seconds), max(seconds))]
    return f"{some[0]} {unit}" if len(seconds) == 1 else f"{some[0]} ({some[1]}-{some[2]}) {unit}"


_UNITS = (("s", 1, 1.0), ("ms", 1e3, 1e-3), ("µs", 1e6, 0.0))


def cells(row: Row) -> tuple[str, ...]:
    """What stands in the columns."""
    return (
        row.workload,
        told(row.ours),
        _side(row.floor, row.floor_is),
        _ratio(row, row.floor),
        _side(row.peer, row.peer_is),
        _ratio(row, row.peer),
        _goal(row),
        row.note,
    )


def line(row: Row) -> str:
    """For a terminal, as soon as it is known."""
    return _laid_out(cells(row))


def head() -> str:
    """The columns' names, as `line` has them."""
    return _laid_out(_COLUMNS)


def _laid_out(texts: Sequence[str]) -> str:
    padded = (
        text.ljust(width) if width > 0 else text.rjust(-width)
        for text, width in zip(texts, _WIDTHS, strict=True)
    )
    return "  ".join(padded).rstrip()


def _goal(row: Row) -> str:
    """The ratio aimed at, and whether the run had it."""
    ratio = row.ratio(row.floor or row.peer)
    if not row.goal or ratio is None:
        return "-"
    return f"≤ {row.goal:.2f}: {'met' if ratio <= row.goal else 'missed'}"


def markdown(rows: Iterable[Row]) -> str:
    """The table of a page."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def machine(places: Iterable[object]) -> str:
    """What it was measured on, in one line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start; "
        + ", ".join(map(str, places))
    )


def _side(seconds: Sequence[float], what: str) -> str:
    if not seconds:
        return "-"
    return f"{told(seconds)} {what}".rstrip()


def _ratio(row: Row, other: Sequence[float]) -> str:
    ratio = row.ratio(other)
    return "-" if ratio is None else f"{ratio:.2f}"
