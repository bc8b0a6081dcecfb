"""`poststage site`: the settings in force, checks of them, and hooks to register."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from msgspec import structs

from poststage import backends, config
from poststage.cli import render
from poststage.cli.common import emit_json, exit_on_error, json_option, site_option
from poststage.cli.values import PATH, WORD
from poststage.errors import ExitCode, UsageError
from poststage.names import shown
from poststage.site import hooks

_ANYWHERE = Path("STATEDIR")  # a stand-in: settings do not depend on it


class Value(NamedTuple):
    """One setting: `section.key`, its value, where it came from."""

    key: str
    value: Any
    origin: str


@click.group()
def site() -> None:
    """Look at the site's settings, check them, print its hooks."""


@site.command("show")
@site_option
@json_option
def show(site: Path | None, *, as_json: bool) -> None:
    """Print what is in force and where each value came from.

    A wrong key or value anywhere ends it with status 2.

    \b
    Examples:
      poststage site show
      poststage site show --site ./site.toml --json
    """
    with exit_on_error():
        values = list(in_force(config.load(site)))
        if as_json:
            emit_json({key: {"from": origin, "value": value} for key, value, origin in values})
        else:
            rows = [(key, _toml(value), origin) for key, value, origin in values]
            render.table(("key", "value", "from"), rows)


@site.command("list")
@json_option
def list_kinds(*, as_json: bool) -> None:
    """Print the kinds of site that there is a configuration for, and their hooks.

    \b
    Example:
      poststage site list
    """
    with exit_on_error():
        found = hooks.kinds()
        if as_json:
            emit_json({kind.name: {"hooks": kind.hooks, "title": kind.title} for kind in found})
        else:
            rows = [(kind.name, ", ".join(kind.hooks) or "-", kind.title) for kind in found]
            render.table(("kind", "hooks", "what for"), rows)


@site.command()
@click.argument("kind")
def toml(kind: str) -> None:
    """Print the settings to start from for a site of KIND, of `poststage site list`.

    \b
    Example:
      poststage site toml slurm-lua > /etc/poststage/site.toml
    """
    with exit_on_error():
        click.echo(hooks.toml_of(kind).read_text(encoding="utf-8"), nl=False)


@site.command()
@click.argument("name")
@click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another value for one of the hook's own settings.",
)
@site_option
def hook(name: str, *, changes: tuple[str, ...], site: Path | None) -> None:
    """Print the hook NAME of `poststage site list` with this site's paths filled in.

    \b
    Examples:
      poststage site hook slurm-lua > /etc/slurm/burst_buffer.lua
      poststage site hook slurm-lua --set poll=true --set spool=/var/lib/poststage
    """
    with exit_on_error():
        values = hooks.values_for(name, config.load(site))
        for change in changes:
            key, is_pair, value = change.partition("=")
            if not is_pair:
                raise UsageError(f"--set {change}: is not KEY=VALUE; nothing was printed")
            values[key] = value
        click.echo(hooks.hook(name, values), nl=False)


@site.command()
@click.option(
    "--dir",
    "state_dirs",
    metavar="STATEDIR",
    multiple=True,
    type=PATH,
    help="Try out this directory's file system too; a destination's likewise.",
)
@click.option("--user", metavar="NAME", type=WORD, help="Look whether this user is known here.")
@site_option
@json_option
def check(
    *, state_dirs: tuple[Path, ...], user: str | None, site: Path | None, as_json: bool
) -> None:
    """Look whether everything is there that finalizing needs, and what to do if not.

    Run it where the hook will run, as who it will run as. What it makes in a STATEDIR to
    try it out, it removes.

    Exit status: 0 nothing is wrong, 2 the settings make no sense, 3 something is wrong.

    \b
    Examples:
      poststage site check
      poststage site check --dir /lustre/me/state --dir /lustre/me --user me
    """
    with exit_on_error():
        from poststage.site.checks import checks
        from poststage.site.finding import Level

        found = list(checks(config.load(site), state_dirs, user))
        if as_json:
            emit_json([structs.asdict(one) | {"level": one.level.value} for one in found])
        else:
            rows = [(one.level.value, one.what, one.fact) for one in found]
            render.table(("", "what", "found"), rows)
            for one in found:
                if one.advice:
                    text = f"{one.level.value}: {shown(one.what)}: {shown(one.advice)}"
                    click.echo(render.wrapped(text, sys.stdout))
        wrong = any(one.level is Level.WRONG for one in found)
    raise SystemExit(int(ExitCode.NEEDS_PERSON if wrong else ExitCode.OK))


def in_force(settings: config.Settings) -> Iterator[Value]:
    """Each setting; the tables of the backends that are allowed, with their defaults, last.

    Raises:
        UsageError: a backend's table has a key or a type that the backend does not know.
    """
    for key, value in config.values_of(settings).items():
        plain = list(value) if isinstance(value, tuple) else value
        yield Value(key, plain, settings.origins[key])
    for name in settings.allowed_backends:
        yield from _of_backend(name, settings)


def _of_backend(name: str, settings: config.Settings) -> Iterator[Value]:
    try:
        backend = backends.load(name, settings)
    except backends.NotLoadedError as error:
        yield Value(f"backend.{name}", None, error.message)
        return
    filled = backends.context(backend, settings, _ANYWHERE).settings
    for key, value in sorted(filled.items()):
        full = f"backend.{name}.{key}"
        yield Value(full, value, settings.origins.get(full, "backend's default"))


def _toml(value: Any) -> str:
    """`value` as TOML writes it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)
