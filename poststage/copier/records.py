"""The records of a queue journal as they are written: the only place that knows the field names.

One JSON object a line, in exactly the form that `encode` gives it; `decode` accepts nothing else.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from poststage import names
from poststage.model import TransferState

VERSION = 1

TAG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"  # whole, as for re.fullmatch
Tag = Annotated[str, Meta(pattern=rf"^{TAG_PATTERN}\Z")]
HANDLE_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
Handle = Annotated[str, Meta(pattern=rf"^{HANDLE_PATTERN}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=3 * 4096)]
REASON_MAX = 300  # characters in written form; a reply holds many
Text = Annotated[str, Meta(max_length=REASON_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Wire(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What all records share: the kind of record comes first, as `record`."""


class TransferRecord(Wire, tag_field="record", tag="transfer", frozen=True):
    """First line: whose queue journal this is."""

    version: int
    tag: Tag
    handle: Handle
    time_ns: Time


class ItemRecord(Wire, tag_field="record", tag="item", frozen=True):
    """One file to copy; names in written form, sizes in bytes, times in ns."""

    index: Count
    source: Name
    target: Name
    size: U63
    mtime_ns: Time

    def check(self) -> None:
        """ValueError unless both names are plain absolute paths."""
        for what, text in (("source", self.source), ("target", self.target)):
            if not names.is_absolute(names.from_text(text)):
                raise ValueError(f"file {self.index}: the {what} is not a plain absolute path")


class EventRecord(Wire, tag_field="record", tag="event", frozen=True):
    """started (also: went on after a stop), stopped (nobody copies now), cancelled (for good)."""

    event: Annotated[str, Meta(pattern=r"^(started|stopped|cancelled)\Z")]
    time_ns: Time
    count: Count | None = None
    """started, the first time: how many files there are."""
    generation: Count = 0
    """started, the first time: how many burst buffers had been detached by then."""


class ProgressRecord(Wire, tag_field="record", tag="progress", frozen=True):
    """The first `offset` bytes of file `index` are durable in its temp file."""

    index: Count
    offset: U63


class OutcomeRecord(Wire, tag_field="record", tag="outcome", frozen=True):
    """How file `index` ended."""

    index: Count
    state: Annotated[str, Meta(pattern=r"^(FULLSUCCESS|FAILED|CANCELED)\Z")]
    reason: Text = ""
    mtime_ns: Time | None = None
    """The temp file's mtime when it was closed."""


class EndRecord(Wire, tag_field="record", tag="ended", frozen=True):
    """How the transfer ended; the last line."""

    state: Annotated[str, Meta(pattern=r"^(FULLSUCCESS|PARTIALSUCCESS|FAILED|CANCELED)\Z")]
    time_ns: Time


Record = TransferRecord | ItemRecord | EventRecord | ProgressRecord | OutcomeRecord | EndRecord

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """`record` as its one line of JSON, ASCII, without checksum and newline."""
    return _encoder.encode(record)


def decode(payload: bytes) -> Record:
    """The record that `payload` is the exact written form of; ValueError if it is of none."""
    try:
        record: Record = _decoder.decode(payload)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _encoder.encode(record) != payload:
        raise ValueError("is not in the canonical form")
    return record


def text_of(reason: str) -> str:
    """`reason` as a record takes it: written form, cut if it is long."""
    raw = reason.encode("utf-8", "surrogateescape")
    text = names.to_text(raw)
    return text if len(text) <= REASON_MAX else names.to_text(raw[: REASON_MAX // 3])


def outcome(
    item: ItemRecord, state: TransferState, reason: str = "", mtime_ns: int | None = None
) -> OutcomeRecord:
    """The outcome of `item`."""
    return OutcomeRecord(item.index, state.value, text_of(reason), mtime_ns)
