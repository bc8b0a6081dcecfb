"""How long a command takes that does nothing."""

import sys
from collections.abc import Iterator
from functools import partial

from bench.context import Bench
from bench.measure import Row, paired, program, run

FAMILY = "start-up"
_FLOOR = "python -c 'import click'"


def rows(bench: Bench) -> Iterator[Row]:
    """`finalize --help`, and the start of Python with click, which nobody can do without."""
    click = [sys.executable, "-c", "import click"]
    for name, option in (("finalize", "--help"), ("poststage", "--version")):
        words = [str(program(name)), option]
        ours, floor = paired(
            bench.sizes.startups, partial(_seconds, words), partial(_seconds, click)
        )
        yield Row(
            FAMILY, f"{name} {option}", ours, floor, floor_is="python -c 'import click'", goal=2.0
        )


def _seconds(words: list[str]) -> float:
    ended = run(words)
    assert ended.out or words[1] == "-c", "it said nothing"
    return ended.seconds
