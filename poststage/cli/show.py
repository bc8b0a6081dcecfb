"""`poststage show`: one state file, read for a person, up to the damage if it is damaged."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from poststage.cli import render
from poststage.cli.common import emit_json_list, exit_on_error, json_option
from poststage.cli.values import PATH
from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, StateFileError, UsageError
from poststage.finalize.scan import part_of
from poststage.model import Ended, Entry, State
from poststage.names import shown
from poststage.statefile import layout
from poststage.statefile.anyone import read_up_to_damage
from poststage.statefile.axl import NEVER_DISPATCHED
from poststage.statefile.value import entry_values, outline

_UNREADABLE: dict[type[OSError], type[UsageError | PermissionRefusedError]] = {
    FileNotFoundError: UsageError,
    NotADirectoryError: UsageError,
    PermissionError: PermissionRefusedError,
}


@click.command()
@click.argument("statefile", type=PATH)
@json_option
def show(statefile: Path, *, as_json: bool) -> None:
    """Print what STATEFILE (.state or .done, or AXL's) says of its transfer.

    Changes nothing. Of a damaged file it prints what stands before the damage,
    and ends with status 65. --json prints the value that
    docs/state-file-format.md defines.

    \b
    Example:
      poststage show /lustre/me/state/step.0/3.state
    """
    with exit_on_error():
        state, damage = _read(statefile)
        if as_json:
            entries = () if state is None else entry_values(state)
            emit_json_list(_document(statefile, state, damage), "entries", entries)
        elif state is not None or not damage:
            for line in lines(state, done=statefile.name.endswith(".done")):
                click.echo(line)
        if damage:
            raise StateFileError(
                f"{statefile}: {damage}; none of its files was touched",
                hint="keep the file"
                + ("; what it says up to there is above" if state is not None else ""),
            )


def _read(path: Path) -> tuple[State | None, str]:
    """What `path` says up to its first damage, and the damage ("" for none)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        dir_fd = fsops.open_dir(os.fsencode(path.parent))
    except tuple(_UNREADABLE) as error:
        raise _UNREADABLE[type(error)](f"{path}: {error.strerror}", hint=_hint(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(f"{path}: is not a regular file", hint="name one state file")
        return read_up_to_damage(dir_fd, fd, os.fsencode(path.name))
    finally:
        os.close(fd)
        os.close(dir_fd)


def _hint(path: Path) -> str:
    """Where else the part lies that `path` names: set aside, or in a directory of 256 parts."""
    part = part_of(os.fsencode(path.name))
    if part is None:
        return ""
    state, place = layout.state_name(part), layout.place_of(part)
    top = path.parent.parent if layout.is_place(os.fsencode(path.parent.name)) else path.parent
    for name in (state, layout.done_name(state)):
        for other in (top / os.fsdecode(name), top / os.fsdecode(place) / os.fsdecode(name)):
            if other != path and os.path.isfile(other):
                return f"that part is {shown(os.fsencode(other))}"
    return ""


def _document(path: Path, state: State | None, damage: str) -> dict[str, Any]:
    return {
        "file": shown(os.fsencode(path)),
        "damage": damage or None,
        "state": None if state is None else outline(state),
    }


def lines(state: State | None, *, done: bool = False) -> Iterator[str]:
    """`state` line by line, fit for a terminal; a file that is `done` is published as a whole."""
    if state is None:
        yield "no record is whole: its agent was stopped while it created the file, and nothing"
        yield "was handed over (or this is no state file)"
        return
    yield from _head(state, done=done)
    for index, entry in enumerate(state.entries):
        yield ""
        yield from _entry(index, entry, state.ended.get(index), state)


def _head(state: State, *, done: bool) -> Iterator[str]:
    head = state.head
    yield f"transfer  {head.id}"
    part = f", part {head.part} of {head.parts} (from 0)" if head.parts else ""
    yield f"dataset   {shown(head.dataset)}{part}"
    handle = "no handle" if state.handle is None else f"handle {shown(state.handle)}"
    yield f"backend   {shown(head.backend)}, {handle}"
    job = f", job {shown(head.job)}" if head.job else ""
    host = f" on {shown(head.host)}" if head.host else ""
    by = "written   " if state.foreign is not None else "created   "
    process = f" by process {head.pid}{host}{job}" if head.pid else ""
    yield f"{by}{render.time(head.created_ns)}{process}"
    yield f"stands    {_standing(state)}"
    yield f"entries   {_entries(state, done=done)}"
    if state.torn:
        yield "tail      a last line is torn: an append was cut short; it counts as not written"


def _standing(state: State) -> str:
    if not state.recorded and state.foreign is not None:
        return NEVER_DISPATCHED
    if not state.recorded:
        return "being recorded, or its agent was stopped; nothing was started"
    words = ["recorded"]
    words += ["started"] if state.started else []
    words += ["cancelled"] if state.cancelled else []
    return ", ".join(words)


def _entries(state: State, *, done: bool) -> str:
    if done:
        return f"{len(state.entries)}: {len(state.entries)} published"
    tally: dict[str, int] = {}
    for ended in state.ended.values():
        tally[ended.verdict.value] = tally.get(ended.verdict.value, 0) + 1
    if opened := len(state.entries) - len(state.ended):
        tally["without a recorded verdict"] = opened
    parts = ", ".join(f"{number} {word}" for word, number in tally.items())
    return f"{len(state.entries)}" + (f": {parts}" if parts else "")


def _entry(index: int, entry: Entry, ended: Ended | None, state: State) -> Iterator[str]:
    meta = entry.meta
    yield (
        f"{index:>6}  {entry.kind.value}  {meta.mode:04o}  {meta.uid}:{meta.gid}"
        f"  {render.size(meta.size)}  {render.time(meta.mtime_ns)}"
    )
    yield f"        {shown(entry.destination)}"
    yield f"        from {shown(entry.source)}"
    if entry.target is not None:
        yield f"        points to {shown(entry.target)}"
    if entry.link_to is not None:
        yield f"        a further name of entry {entry.link_to}"
    if entry.temp:
        yield f"        temp name {shown(entry.temp)}"
    if entry.checksum is not None:
        yield f"        checksum {entry.checksum}"
    if entry.prior is not None:
        prior = entry.prior
        age = render.time(prior.mtime_ns)
        yield f"        stood there: inode {prior.ino}, {render.size(prior.size)}, {age}"
    if ended is not None:
        reason = f": {shown(ended.reason)}" if ended.reason else ""
        yield f"        {ended.verdict.value}{reason}"
