"""How many points a run of the tests takes, and the table at its end."""

import os
from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

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
    """What came of one target."""

    points: int = 0
    fired: int = 0
    violations: int = 0


ROWS: dict[tuple[str, str], Row] = {}
"""Harness and target → what was counted in this process."""


def count(harness: str, target: str, findings: Iterable[Finding]) -> str:
    """Add `findings` to the table; those that broke a law, as text (empty for none)."""
    row = ROWS.setdefault((harness, target), Row())
    broken = []
    for finding in findings:
        row.points += 1
        row.fired += finding.fired
        if finding.violations:
            row.violations += 1
            broken.append(str(finding))
    return "\n".join(broken)


def note(harness: str, target: str, *, found: bool) -> None:
    """Add one seeded bug: it fired if it was found, and is a violation if not."""
    row = ROWS.setdefault((harness, target), Row())
    row.points += 1
    row.fired += found
    row.violations += not found


Exported = list[tuple[str, str, int, int, int]]


def exported() -> Exported:
    """The rows as plain values."""
    return [(*key, row.points, row.fired, row.violations) for key, row in ROWS.items()]


def add(rows: Exported) -> None:
    """Add what another process has counted."""
    for harness, target, points, fired, violations in rows:
        row = ROWS.setdefault((harness, target), Row())
        row.points += points
        row.fired += fired
        row.violations += violations


def table() -> list[str]:
    """The rows as aligned text, with their sum; empty where nothing was counted."""
    if not ROWS:
        return []
    form = "{:<14} {:<32} {:>9} {:>9} {:>11}".format
    lines = [form("harness", "target", "points", "fired", "violations")]
    for (harness, target), row in sorted(ROWS.items()):
        lines.append(form(harness, target, row.points, row.fired, row.violations))
    total = [sum(getattr(row, key) for row in ROWS.values()) for key in Row.__struct_fields__]
    return [*lines, form("all", "", *total)]
