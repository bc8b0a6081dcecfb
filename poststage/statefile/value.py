"""`State` → the plain JSON value that docs/state-file-format.md defines for it."""

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from poststage.model import Ended, Entry, State
from poststage.names import to_text


def value_of(state: State) -> dict[str, Any]:
    """What `state` says, in plain types; every name in written form, integers exact."""
    return {**outline(state), "entries": list(entry_values(state))}


def entry_values(state: State) -> Iterator[dict[str, Any]]:
    """Each entry of `state` with its verdict, in order."""
    for index, entry in enumerate(state.entries):
        yield entry_value(entry, state.ended.get(index))


def outline(state: State) -> dict[str, Any]:
    """`value_of` with no entries in its list."""
    return {
        "head": {
            **structs.asdict(state.head),
            **{
                key: _text(getattr(state.head, key))
                for key in ("dataset", "backend", "host", "job")
            },
        },
        "entries": [],
        "recorded": state.recorded,
        "handle": None if state.handle is None else _text(state.handle),
        "started": state.started,
        "cancelled": state.cancelled,
        "torn": state.torn,
    }


def entry_value(entry: Entry, ended: Ended | None) -> dict[str, Any]:
    """One entry; `ended` is its recorded verdict, or None while it is open."""
    return {
        "kind": entry.kind.value,
        "source": to_text(entry.source),
        "destination": to_text(entry.destination),
        "temp": to_text(entry.temp),
        **structs.asdict(entry.meta),
        "prior": None if entry.prior is None else structs.asdict(entry.prior),
        "checksum": entry.checksum,
        "target": None if entry.target is None else to_text(entry.target),
        "link_to": entry.link_to,
        "ended": None
        if ended is None
        else {"verdict": ended.verdict.value, "reason": _text(ended.reason)},
    }


def _text(text: str) -> str:
    return to_text(text.encode("utf-8", "surrogateescape"))
