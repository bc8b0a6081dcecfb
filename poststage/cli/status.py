"""`poststage status`: how each dataset of a STATEDIR stands, and what to do next."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from poststage import config
from poststage.cli import render
from poststage.cli.asking import Asker
from poststage.cli.common import dir_option, emit_json, exit_on_error, json_option, site_option
from poststage.cli.last_word import last_word, lost
from poststage.cli.owner import become_owner
from poststage.cli.standing import Standing, advice, code_of, sentence, standing
from poststage.cli.survey import Part, groups, open_state_dir, read_group
from poststage.errors import ExitCode, worst
from poststage.finalize.scan import Group
from poststage.names import shown, to_text

_ROWS = 50  # datasets listed one by one
_NAMED = 3  # datasets named beside an advice


@click.command()
@dir_option
@site_option
@click.option("--probe/--no-probe", default=True, help="Ask the backends (the default) or not.")
@click.option(
    "--exit-code",
    is_flag=True,
    help="For scripts: 0 all published, 75 something is open, 3 a person is needed.",
)
@json_option
def status(
    state_dir: Path, site: Path | None, *, probe: bool, exit_code: bool, as_json: bool
) -> None:
    """Tell how each dataset of STATEDIR stands and what to do next.

    Changes nothing. Ends with 65 if a state file is damaged, 77 if one may not
    be read, else 0, or as --exit-code says. With many datasets those that are
    done are only counted; --json has all. Root reads and asks as the owner of
    STATEDIR.

    \b
    Examples:
      poststage status --dir /lustre/me/state
      poststage status --no-probe --json | jq '.datasets[] | select(.done | not)'
      until poststage status --no-probe --exit-code; do sleep 60; done
    """
    with exit_on_error():
        settings = config.load(site)
        become_owner(state_dir, settings)
        asker = Asker(settings, state_dir) if probe else None
        try:
            found = list(_standings(state_dir, asker))
        finally:
            if asker is not None:
                asker.close()
        if as_json:
            emit_json({"datasets": [_value(now) for now in found]})
        else:
            _print(found)
    tell = code_of if exit_code else _code
    raise SystemExit(int(worst({tell(now) for now in found})))


def _standings(state_dir: Path, asker: Asker | None) -> Iterator[Standing]:
    """One small value a dataset; the backends are asked once, for all of them."""
    found: list[tuple[Group, Sequence[Part]]] = []
    with open_state_dir(state_dir) as fd:
        for group, refused in groups(state_dir):
            found.append((group, [Part(b"", damage=refused)] if refused else read_group(fd, group)))
    answers = asker.ask(part for _, parts in found for part in parts) if asker else {}
    for group, parts in found:
        gone = lost(last_word(state_dir, group)) if any(p.open_entries for p in parts) else 0
        yield standing(group.directory, parts, answers, lost=gone)


def _code(now: Standing) -> ExitCode:
    if now.damaged:
        return ExitCode.DATA
    return ExitCode.PERMISSION if now.damage else ExitCode.OK


def _print(found: Sequence[Standing]) -> None:
    if not found:
        click.echo("no state files")
        return
    listed = found if len(found) <= _ROWS else [now for now in found if not now.done][:_ROWS]
    if listed:
        titles = ("dataset", ">parts", ">files", ">size", "how it stands")
        render.table(titles, [_row(now) for now in listed])
    if more := len(found) - len(listed):
        done = sum(now.done for now in found)
        click.echo(f"… and {more} more; {done} of {len(found)} datasets are done; --json has all")
    click.echo("\nnext:")
    for words, datasets in _by_advice(found).items():
        click.echo(f"  {words}\n    {_some(datasets)}")


def _row(now: Standing) -> tuple[str, ...]:
    parts = f"{now.parts_seen}/{now.parts}"
    return now.dataset, parts, str(now.files), render.size(now.size_bytes), sentence(now)


def _by_advice(found: Sequence[Standing]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for now in found:
        groups.setdefault(advice(now), []).append(now.dataset)
    return groups


def _some(datasets: Sequence[str]) -> str:
    named = ", ".join(map(shown, datasets[:_NAMED]))
    more = len(datasets) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _value(now: Standing) -> dict[str, Any]:
    """One dataset as JSON; names in written form."""
    return {
        "dataset": to_text(now.dataset.encode("utf-8", "surrogateescape")),
        "done": now.done,
        "parts": now.parts,
        "parts_seen": now.parts_seen,
        "parts_done": now.done_parts,
        "parts_recording": now.recording,
        "files": now.files,
        "bytes": now.size_bytes,
        "parts_cut_off": now.cut_off,
        "entries_open": now.open_entries,
        "entries_lost": now.lost,
        "verdicts": {verdict.value: number for verdict, number in now.verdicts.items()},
        "transfers": {state.value: number for state, number in now.transfers.items()},
        "reason": now.reason,
        "damage": list(now.damage),
        "next": advice(now),
    }
