"""`poststage simulate`: how long finalize takes on a file system, before there is a job."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from msgspec import to_builtins

from poststage import config
from poststage.cli import render, runs
from poststage.cli.common import emit_json, exit_on_error, json_option, site_option
from poststage.cli.values import PATH, SECONDS, Number
from poststage.errors import UsageError
from poststage.finalize.options import options_of
from poststage.simulate.run import Measured, Projection, simulate, simulated
from poststage.simulate.tree import Shape

_LATENCY_MAX_MS = 60_000
_SHARE_LEAST = 0.001
_FILES_MAX = 100_000_000
_BASIS = {
    "line": "(projected by a straight line through the two that were measured)",
    "proportion": "(projected in proportion to the largest that was measured, which is rather too "
    "long than too short: so small, it does not show what grows; a larger --sample does)",
}
_MANY = click.IntRange(min=1, max=10_000_000)


@click.command("simulate")
@click.option("--ranks", type=_MANY, required=True, metavar="N", help="State files.")
@click.option(
    "--files", type=_MANY, default=4, show_default=True, metavar="M", help="Files of each rank."
)
@click.option(
    "--size",
    type=click.IntRange(min=0, max=1 << 30),
    default=4096,
    show_default=True,
    metavar="BYTES",
    help="Of each file; finalize does not read them.",
)
@click.option(
    "--on",
    "where",
    type=PATH,
    metavar="DIRECTORY",
    help="On the file system in question; else the current directory.",
)
@click.option(
    "--latency",
    "latency_ms",
    type=Number(_LATENCY_MAX_MS),
    default=0.0,
    metavar="MS",
    help="Play a file system each call of which takes so much longer.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=1024,
    show_default=True,
    metavar="N",
    help="State files that are made and measured; the rest is projected. 0: all.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="As finalize's.")
@click.option("--publish", type=click.Choice(["file", "dataset"]), help="As finalize's.")
@click.option("--deadline", "deadline_s", type=SECONDS, metavar="SECONDS", help="As finalize's.")
@site_option
@json_option
def simulate_command(
    *,
    ranks: int,
    files: int,
    size: int,
    where: Path | None,
    latency_ms: float,
    sample: int,
    jobs: int | None,
    publish: str | None,
    deadline_s: float | None,
    site: Path | None,
    as_json: bool,
) -> None:
    """Tell how long finalize takes for N ranks with M files each.

    Makes the state files and temp files of such a job, finalizes them, takes
    them away again, and touches nothing else. Of many ranks it makes a sample
    and says what of the answer is measured and what is projected. Use it on the
    parallel file system itself, where the post-stage script will run; --latency
    is for one that is not at hand.

    \b
    Examples:
      poststage simulate --ranks 16384 --on /lustre/me
      poststage simulate --ranks 16384 --files 8 --latency 0.5
      poststage simulate --ranks 100000 --files 1 --sample 0 --json
    """
    with exit_on_error():
        _end_on_signals()
        settings = config.load(site)
        options = options_of(simulated(settings), publish=publish, deadline_s=deadline_s, jobs=jobs)
        shape = Shape(ranks, files, size)
        if ranks * files > _FILES_MAX:
            raise UsageError(
                f"simulate: {ranks:,} ranks of {files:,} files each are more than "
                f"{_FILES_MAX:,} files; nothing was made",
                hint="time grows with the files: ask for fewer ranks or files, and multiply",
            )
        found = simulate(
            where or Path(), shape, options, sample=sample, latency_s=latency_ms / 1000
        )
        if as_json:
            emit_json(to_builtins(found))
            return
        limit_s = runs.seconds(_as_a_hook(settings, deadline_s), settings)
        for line in _lines(found, latency_ms, limit_s):
            click.echo(render.wrapped(line, sys.stdout))


def _as_a_hook(settings: config.Settings, deadline_s: float | None) -> runs.Asked:
    return runs.Asked((), settings.scheduler, None, None, deadline_s)


def _lines(found: Projection, latency_ms: float, limit_s: float) -> Iterator[str]:
    if latency_ms:
        yield f"each call of the file system was held back by {latency_ms:g} ms"
    for one in found.measured:
        yield _line("measured ", one)
    if not found.is_measured:
        yield _line("projected", Measured(found.ranks, found.files, found.seconds))
        yield _BASIS[found.basis]
    yield _share(found.seconds, limit_s)


def _share(seconds: float, limit_s: float) -> str:
    if not limit_s:
        return "and finalize is given no time at all: see `poststage site check`"
    share = seconds / limit_s
    words = f"{share:,.1%}" if share >= _SHARE_LEAST else "less than 0.1%"
    return f"that is {words} of the {limit_s:g} s that finalize is given after a job"


def _line(how: str, one: Measured) -> str:
    rate = one.files / one.seconds if one.seconds else 0.0
    return (
        f"{how} {one.ranks:>10,} ranks {one.files:>11,} files "
        f"{one.seconds:>10,.2f} s {rate:>9,.0f} files/s"
    )


def _end_on_signals() -> None:
    """What was made is taken away also when somebody asks for the end."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
