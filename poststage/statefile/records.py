"""The records of a state file as they are written: the only place that knows the field names.

A record is one JSON object in exactly the form that `encode` gives it (field order,
no white space, defaults left out). `decode` accepts nothing else, which rules out
duplicate keys, unknown fields, floats, NaN and every second spelling in one stroke.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from poststage.model import Kind

VERSION = 1
REASON_MAX = 8192  # characters of a reason in written form

# Patterns end in \Z: $ would also take a newline at the end.
Id = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=3 * 4096)]
Text = Annotated[str, Meta(max_length=3 * 4096)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Id32 = Annotated[int, Meta(ge=0, le=2**32 - 2)]
Mode = Annotated[int, Meta(ge=0, le=0o7777)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Event = Literal["recorded", "handle", "started", "cancelled"]


class Wire(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What all records share: the kind of record comes first, as `record`."""


class TransferRecord(Wire, tag_field="record", tag="transfer", frozen=True):
    """First line: which transfer this is. All texts are in written form (names.py)."""

    version: int
    id: Id
    dataset: Name
    part: Count
    parts: Count
    backend: Name
    created_ns: Time
    host: Text = ""
    job: Text = ""
    pid: Count = 0
    move: bool = False
    ends_with_job: bool = False


class PriorRecord(Wire, frozen=True):
    """What stood at the destination when the transfer was created."""

    ino: int
    """Below 2^64; checked in codec.py, beyond the decoder's own bounds."""
    size: U63
    mtime_ns: Time


class EntryRecord(Wire, tag_field="record", tag="entry", frozen=True):
    """One name of the transfer; its index is its place among the entry records."""

    kind: Kind
    source: Name
    destination: Name
    temp: Text
    size: U63
    uid: Id32
    gid: Id32
    mode: Mode
    atime_ns: Time
    mtime_ns: Time
    prior: PriorRecord | None = None
    checksum: Annotated[str, Meta(pattern=r"\Axxh3_128:[0-9a-f]{32}\Z")] | None = None
    target: Name | None = None
    link_to: Count | None = None


class EventRecord(Wire, tag_field="record", tag="event", frozen=True):
    """A transition of the whole transfer."""

    event: Event
    time_ns: Time
    entries: Count | None = None
    handle: Annotated[str, Meta(min_length=1, max_length=3 * 1024)] | None = None


class VerdictRecord(Wire, tag_field="record", tag="verdict", frozen=True):
    """How entry `index` and the `count - 1` after it ended; written by the finalizer."""

    index: Count
    verdict: Annotated[str, Meta(pattern=r"\A(published|failed|conflict)\Z")]
    time_ns: Time
    count: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 1
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""


Record = TransferRecord | EntryRecord | EventRecord | VerdictRecord

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """`record` as its one line of JSON, ASCII, without checksum and newline."""
    return _encoder.encode(record)


def decode(payload: bytes) -> Record:
    """The record that `payload` is the exact written form of.

    Raises:
        ValueError: it is not the written form of any record; the text says why.
    """
    try:
        record: Record = _decoder.decode(payload)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _encoder.encode(record) != payload:
        raise ValueError("is not in the canonical form (order, spacing, duplicates, defaults)")
    return record


def decode_block(lines: bytes) -> list[Record]:
    """The records that `lines` (each with its newline) are the exact written form of.

    Raises:
        ValueError: not each line is the written form of one record; `decode` tells which.
    """
    try:
        records: list[Record] = _decoder.decode_lines(lines)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # A newline ends each record and stands nowhere in one: line for line they are the same.
    if _encoder.encode_lines(records) != lines:
        raise ValueError("is not in the canonical form (order, spacing, duplicates, defaults)")
    return records
