"""State file → `State`, strict and total: any bytes give a value or one clear error."""

import os
import stat
from collections.abc import Iterable

from poststage import names
from poststage.durable import journal
from poststage.errors import StateFileError
from poststage.model import Ended, Head, Kind, State
from poststage.statefile import codec, entries
from poststage.statefile.records import (
    EntryRecord,
    EventRecord,
    Record,
    TransferRecord,
    VerdictRecord,
    decode,
    decode_block,
)

STATE_FILE_MAX = 1 << 30  # bytes; about three million entries
VERDICTS_PER_ENTRY = 16  # on average; runs of verdicts would else take quadratic time
_MISPLACED = "this record cannot stand here"
_QUOTED = 300  # characters of a parser's message, which may quote the file


class StateBuilder:
    """Takes the records of one state file in their order and gives its `State`."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.ended: dict[int, Ended] = {}
        self.recorded = self.started = self.cancelled = False
        self.handle: str | None = None
        self.whole_bytes = 0
        self.lines = 0
        """How many were taken."""
        self._count = 0
        self._others: set[int] = set()
        self._blocks: list[tuple[int, int, int]] = []
        self._first = entries.Page(0, (), plain=True)
        self._verdicts = 0

    def take_block(self, block: journal.Block) -> None:
        """Add its records; ValueError if one cannot stand at its place (it is line `lines` + 1)."""
        lines = b"\n".join(block.payloads) + b"\n"
        plain, first = entries.is_plain(lines), self._count
        try:
            records: Iterable[Record] = decode_block(lines)
        except ValueError:
            records = map(decode, block.payloads)
        found: list[EntryRecord] = []
        taken = 0
        try:
            for record in records:
                if type(record) is EntryRecord:
                    self._entry(record, plain=plain)
                    found.append(record)
                else:
                    self._take(record)
                taken += 1
        finally:
            self.lines += taken
            whole = taken == len(block.payloads)
            end = block.end if whole else journal.end_of(block, taken)
            self._keep(block.start, end, entries.Page(first, found, plain))

    def _keep(self, start: int, end: int, page: entries.Page) -> None:
        """Note where `page`, whose lines stand from `start` to `end`, can be read again."""
        self.whole_bytes = end
        if page.records:
            self._first = self._first if self._blocks else page
            self._blocks.append((page.first, start, end))

    def _take(self, record: Record) -> None:
        if isinstance(record, EventRecord) and self.head:
            self._event(record)
        elif isinstance(record, TransferRecord) and self.head is None:
            self.head = codec.head_of(record)
        elif isinstance(record, VerdictRecord) and self.recorded:
            self._verdict(record)
        else:
            raise ValueError(_MISPLACED)

    def _entry(self, record: EntryRecord, *, plain: bool) -> None:
        if self.head is None or self.recorded:
            raise ValueError(_MISPLACED)
        if not (plain and codec.is_plain(record)):
            entry = codec.entry_of(record, self._count)
            if entry.link_to is not None and entry.link_to in self._others:
                raise ValueError(f"link_to {entry.link_to} is no file")
            if entry.kind is not Kind.FILE:
                self._others.add(self._count)
        self._count += 1

    def _event(self, record: EventRecord) -> None:
        if (record.event == "recorded") is (record.entries is None):
            raise ValueError("entries and event do not fit")
        if (record.event == "handle") is (record.handle is None):
            raise ValueError("handle and event do not fit")
        if record.event == "recorded":
            if self.recorded or record.entries != self._count:
                raise ValueError(f"{record.entries} entries announced, {self._count} there")
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
        if record.index + record.count > self._count:
            raise ValueError("the verdict is of an entry that is not there")
        self._verdicts += record.count
        if self._verdicts > VERDICTS_PER_ENTRY * self._count:
            raise ValueError(f"more than {VERDICTS_PER_ENTRY} verdicts for each entry")
        ended = codec.ended_of(record)
        self.ended.update(dict.fromkeys(range(record.index, record.index + record.count), ended))

    def state(self, fd: int, path: bytes, *, torn: bool) -> State | None:
        """What was read from the file open at `fd`; None if not even the first record is there."""
        if self.head is None:
            return None
        return State(
            self.head,
            self._entries(fd, path),
            self.recorded,
            self.handle,
            self.started,
            self.cancelled,
            self.ended,
            torn,
            self.whole_bytes,
        )

    def _entries(self, fd: int, path: bytes) -> entries.Entries:
        others = frozenset(self._others)
        if len(self._blocks) > 1:
            return entries.long(fd, path, self._blocks, self._count, others)
        return entries.short(self._first, others)


def read_state(fd: int, path: bytes, info: os.stat_result | None = None) -> State | None:
    """The state file open at `fd`; `path` is for messages, `info` what fstat says of it.

    None for a file in which no record is whole yet: its agent was stopped while it
    created it, so nothing was started. Ends in time linear in the size.

    Raises:
        StateFileError: it is damaged, too large or no regular file; says at which line.
        OSError: it cannot be read.
    """
    builder, info = StateBuilder(), os.fstat(fd) if info is None else info
    fact = fill(builder, fd, info)
    if fact:
        raise StateFileError(
            f"{names.shown(path)}: {fact}; none of its files was touched",
            hint="keep the file; `poststage show FILE` prints what stands before the damage",
        )
    return builder.state(fd, path, torn=info.st_size > builder.whole_bytes)


def fill(builder: StateBuilder, fd: int, info: os.stat_result) -> str:
    """Give `builder` every record up to the first damage; the damage, or "" for none."""
    if not stat.S_ISREG(info.st_mode):
        return "is not a regular file"
    try:
        for block in journal.blocks(fd, size=info.st_size, limit_bytes=STATE_FILE_MAX):
            builder.take_block(block)
    except journal.DamageError as damage:
        return str(damage)
    except ValueError as error:
        return f"line {builder.lines + 1}: {names.shown(str(error)[:_QUOTED])}"
    if builder.head is None and (info.st_size >= journal.LINE_MAX or b"\n" in _beginning(fd)):
        return "line 1: is not a state file"  # the first line of one is written at once
    return ""


def _beginning(fd: int) -> bytes:
    return os.pread(fd, journal.LINE_MAX, 0)
