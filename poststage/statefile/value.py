"""`State` → the plain JSON value that docs/state-file-format.md defines for it."""

from typing import Any

from msgspec import structs

from poststage.model import Ended, Entry, State
from poststage.names import to_text


def value_of(state: State) -> dict[str, Any]:
    """What `state` says, in plain types; every name in written form, integers exact."""
    return {
        "head": {
            **structs.asdict(state.head),
            **{
                key: _text(getattr(state.head, key))
                for key in ("dataset", "backend", "host", "job")
            },
        },
        "entries": [
            entry_value(entry, state.ended.get(index)) for index, entry in enumerate(state.entries)
        ],
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
