"""How many points a run of the tests takes, and the table at its end."""

import os
from collections.abc import Iterable
from enum import Enum

from msgspec import Struct, structs

from tests.crash.sweep import Finding


class Level(Enum):
    """`POSTSTAGE_CRASH`: how much of the space is looked at."""

    SAMPLE = ""
    """A minute in all: `make test`."""
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


ROWS: dict[str, Row] = {}
"""Harness → what was counted in this process."""


def count(harness: str, findings: Iterable[Finding], *, of: int | None = None) -> str:
    """Add `findings`, drawn from `of` (None: they are all); those that broke a law, as text."""
    row, broken = ROWS.setdefault(harness, Row()), []
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
    add([(harness, 1, 1, int(found), int(not found))])


Exported = list[tuple[str, int, int, int, int]]


def exported() -> Exported:
    """The rows as plain values."""
    return [(harness, *structs.astuple(row)) for harness, row in ROWS.items()]


def add(rows: Exported) -> None:
    """Add what was counted elsewhere, another process included."""
    for harness, *counts in rows:
        row = ROWS.setdefault(harness, Row())
        for key, more in zip(Row.__struct_fields__, counts, strict=True):
            setattr(row, key, getattr(row, key) + more)


def table() -> list[str]:
    """The rows as aligned text, with their sum; empty where nothing was counted."""
    if not ROWS:
        return []
    form = "{:<36} {:>10} {:>10} {:>10} {:>10}".format
    total = [sum(getattr(row, key) for row in ROWS.values()) for key in Row.__struct_fields__]
    rows = [(harness, *structs.astuple(row)) for harness, row in sorted(ROWS.items())]
    heading = ("harness", "there are", "looked at", "fired", "violations")
    return [form(*row) for row in (heading, *rows, ("all", *total))]
