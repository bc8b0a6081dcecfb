"""How many points a run of the tests takes, and the table at its end."""

import os
from collections.abc import Iterable
from enum import Enum
from typing import Any

from msgspec import Struct, structs

from tests.crash.sweep import Finding


class Level(Enum):
    """`POSTSTAGE_CRASH`: how much of the space is looked at."""

    SAMPLE = ""
    """Two CPU minutes in all: `make test`."""
    CI = "ci"
    FULL = "full"
    """Every point: `make soak`."""


LEVEL = Level(os.environ.get("POSTSTAGE_CRASH", ""))


def budget(sample: int, ci: int) -> int | None:
    """How many points to draw at the level in force; None for all."""
    return {Level.SAMPLE: sample, Level.CI: ci, Level.FULL: None}[LEVEL]


class Row(Struct):
    """What came of one harness."""

    there: int = 0
    """How many points there are to look at."""
    points: int = 0
    """How many were looked at."""
    fired: int = 0
    violations: int = 0


Rows = dict[str, Row]
"""Harness → what was counted."""

_COUNTED: Rows = {}
"""In this process, since the last `taken`."""
_ALL: Rows = {}
"""In all processes."""


def count(harness: str, findings: Iterable[Finding], *, of: int | None = None) -> str:
    """Add `findings`, drawn from `of` (None: they are all); those that broke a law, as text."""
    row, broken = _COUNTED.setdefault(harness, Row()), []
    before = row.points
    for finding in findings:
        row.points += 1
        row.fired += finding.fired
        if finding.violations:
            row.violations += 1
            broken.append(str(finding))
    row.there += row.points - before if of is None else of
    return "\n".join(broken)


def note(harness: str, *, found: bool) -> None:
    """Add one seeded bug: it fired if it was found, and is a violation if not."""
    sum_up(harness, 1, 1, int(found), int(not found))


def pass_(harness: str) -> None:
    """Add one point that has broken nothing."""
    sum_up(harness, 1, 1, 1, 0)


def sum_up(harness: str, *counts: int) -> None:
    """Add to the table what was counted otherwise; in the order of a row's fields."""
    _add(_COUNTED, [(harness, *counts)])


Exported = list[tuple[Any, ...]]
"""Rows as plain values."""


def taken() -> Exported:
    """What was counted since this was asked the last time."""
    rows = [(harness, *structs.astuple(row)) for harness, row in _COUNTED.items()]
    _COUNTED.clear()
    return rows


def add(rows: Exported) -> None:
    """Add to the table what this or another process has `taken`."""
    _add(_ALL, rows)


def _add(to: Rows, rows: Exported) -> None:
    for harness, *counts in rows:
        row = to.setdefault(harness, Row())
        for key, more in zip(Row.__struct_fields__, counts, strict=True):
            setattr(row, key, getattr(row, key) + more)


def table() -> list[str]:
    """The rows as aligned text, with their sum; empty where nothing was counted."""
    if not _ALL:
        return []
    form = "{:<36} {:>10} {:>10} {:>10} {:>10}".format
    total = [sum(getattr(row, key) for row in _ALL.values()) for key in Row.__struct_fields__]
    rows = [(harness, *structs.astuple(row)) for harness, row in sorted(_ALL.items())]
    heading = ("harness", "there are", "looked at", "fired", "violations")
    return [form(*row) for row in (heading, *rows, ("all", *total))]
