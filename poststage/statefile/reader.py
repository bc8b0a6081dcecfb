"""State file → `State`, strict and total: any bytes give a value or one clear error."""

import os
import stat

from poststage import names
from poststage.durable import journal
from poststage.errors import StateFileError
from poststage.model import Ended, Entry, Head, Kind, State
from poststage.statefile import codec
from poststage.statefile.records import (
    EntryRecord,
    EventRecord,
    Record,
    TransferRecord,
    VerdictRecord,
    decode,
)

STATE_FILE_MAX = 1 << 30  # bytes; about three million entries
VERDICTS_PER_ENTRY = 16  # on average; runs of verdicts would else take quadratic time
_QUOTED = 300  # characters of a parser's message, which may quote the file


class StateBuilder:
    """Takes the records of one state file in their order and gives its `State`."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.entries: list[Entry] = []
        self.ended: dict[int, Ended] = {}
        self.recorded = self.started = self.cancelled = False
        self.handle: str | None = None
        self.whole_bytes = 0
        self._counted = 0

    def take(self, record: Record) -> None:
        """Add `record`; ValueError if it cannot stand at this place."""
        if isinstance(record, EntryRecord) and self.head and not self.recorded:
            self._entry(codec.entry_of(record, len(self.entries)))
        elif isinstance(record, TransferRecord) and self.head is None:
            self.head = codec.head_of(record)
        elif isinstance(record, EventRecord) and self.head:
            self._event(record)
        elif isinstance(record, VerdictRecord) and self.recorded:
            self._verdict(record)
        else:
            raise ValueError("this record cannot stand here")

    def _entry(self, entry: Entry) -> None:
        if entry.link_to is not None and self.entries[entry.link_to].kind is not Kind.FILE:
            raise ValueError(f"link_to {entry.link_to} is no file")
        self.entries.append(entry)

    def _event(self, record: EventRecord) -> None:
        if (record.event == "recorded") is (record.entries is None):
            raise ValueError("entries and event do not fit")
        if (record.event == "handle") is (record.handle is None):
            raise ValueError("handle and event do not fit")
        if record.event == "recorded":
            if self.recorded or record.entries != len(self.entries):
                raise ValueError(f"{record.entries} entries announced, {len(self.entries)} there")
            self.recorded = True
        elif record.event == "handle":
            self.handle = codec.handle_of(record)
        elif record.event == "started":
            if not self.recorded:
                raise ValueError("started before it was recorded")
            self.started = True
        else:
            self.cancelled = True

    def _verdict(self, record: VerdictRecord) -> None:
        if record.index + record.count > len(self.entries):
            raise ValueError("the verdict is of an entry that is not there")
        self._counted += record.count
        if self._counted > VERDICTS_PER_ENTRY * len(self.entries):
            raise ValueError(f"more than {VERDICTS_PER_ENTRY} verdicts for each entry")
        ended = codec.ended_of(record)
        self.ended.update(dict.fromkeys(range(record.index, record.index + record.count), ended))

    def state(self, *, torn: bool) -> State | None:
        """What was read; None if not even the first record is there."""
        if self.head is None:
            return None
        return State(
            self.head,
            tuple(self.entries),
            self.recorded,
            self.handle,
            self.started,
            self.cancelled,
            self.ended,
            torn,
            self.whole_bytes,
        )


def read_state(fd: int, path: bytes) -> State | None:
    """The state file open at `fd`; `path` is for messages.

    None for a file in which no record is whole yet: its agent was stopped while it
    created it, so nothing was started. Ends in time linear in the size.

    Raises:
        StateFileError: it is damaged, too large or no regular file; says at which line.
        OSError: it cannot be read.
    """
    builder = StateBuilder()
    fact = fill(builder, fd)
    if fact:
        raise StateFileError(
            f"{names.shown(path)}: {fact}; none of its files was touched",
            hint="keep the file; `poststage show FILE` prints what stands before the damage",
        )
    return builder.state(torn=os.fstat(fd).st_size > builder.whole_bytes)


def fill(builder: StateBuilder, fd: int) -> str:
    """Give `builder` every record up to the first damage; the damage, or "" for none."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        return "is not a regular file"
    line = 0
    try:
        for line, (payload, end) in enumerate(  # noqa: B007 - the line number is used after
            journal.payloads(fd, limit_bytes=STATE_FILE_MAX), start=1
        ):
            builder.take(decode(payload))
            builder.whole_bytes = end
    except journal.DamageError as damage:
        return str(damage)
    except ValueError as error:
        return f"line {line}: {names.shown(str(error)[:_QUOTED])}"
    if builder.head is None and (info.st_size >= journal.LINE_MAX or b"\n" in _first(fd)):
        return "line 1: is not a state file"  # the first line of one is written at once
    return ""


def _first(fd: int) -> bytes:
    return os.pread(fd, journal.LINE_MAX, 0)
