"""Queue journal → what it says of one transfer. Reads only; the daemon and probes share it."""

from collections.abc import Mapping, Sequence

from poststage import names
from poststage.copier.records import (
    VERSION,
    EndRecord,
    EventRecord,
    ItemRecord,
    OutcomeRecord,
    ProgressRecord,
    Record,
    TransferRecord,
    decode,
)
from poststage.durable import journal
from poststage.model import TransferState

JOURNAL_MAX = 1 << 32  # bytes; a bound, not a budget


class Transfer:
    """One transfer as its journal tells it; `take` adds a record."""

    def __init__(self) -> None:
        self.tag = self.handle = ""
        self.items: list[ItemRecord] = []
        self.started = self.stopped = self.cancelled = False
        self.generation = 0
        self.progress: dict[int, ProgressRecord] = {}
        self.outcomes: dict[int, OutcomeRecord] = {}
        self.end: TransferState | None = None
        self._indexes: set[int] = set()
        self._targets: set[str] = set()

    def take(self, record: Record) -> None:
        """Add `record`; ValueError if it cannot stand at this place (nothing is changed then)."""
        if isinstance(record, TransferRecord):
            self._take_head(record)
        elif not self.handle or self.end is not None:
            raise ValueError("this record cannot stand here")
        elif isinstance(record, ItemRecord):
            self._take_item(record)
        elif isinstance(record, EventRecord):
            self._take_event(record)
        elif isinstance(record, EndRecord):
            self.end = TransferState(record.state)
        elif not self.started or record.index not in self._indexes:
            raise ValueError(f"file {record.index} is not being copied")
        elif isinstance(record, ProgressRecord):
            self.progress[record.index] = record
        else:
            self.outcomes[record.index] = record

    def check_items(self, items: Sequence[ItemRecord]) -> None:
        """ValueError unless `take` accepts all of `items`; nothing is changed."""
        for item in items:
            self._check_item(item)
        if len({item.index for item in items}) < len(items):
            raise ValueError("an index is there twice")
        if len({item.target for item in items}) < len(items):
            raise ValueError("a target is there twice")

    def _check_item(self, item: ItemRecord) -> None:
        item.check()
        if item.index in self._indexes or item.target in self._targets:
            raise ValueError(f"file {item.index}: its index or its target is there already")

    def _take_head(self, record: TransferRecord) -> None:
        if record.version != VERSION:
            raise ValueError(f"queue version {record.version} is not known (this is {VERSION})")
        if self.handle:
            raise ValueError("this record cannot stand here")
        self.tag, self.handle = record.tag, record.handle

    def _take_item(self, record: ItemRecord) -> None:
        if self.started or self.cancelled:
            raise ValueError("the transfer takes no more files")
        self._check_item(record)
        self._indexes.add(record.index)
        self._targets.add(record.target)
        self.items.append(record)

    def _take_event(self, record: EventRecord) -> None:
        if record.event == "cancelled":
            self.cancelled = True
        elif record.event == "stopped":
            self.stopped = True
        elif self.started:
            self.stopped = False
        elif record.count != len(self.items):
            raise ValueError(f"{record.count} files announced, {len(self.items)} there")
        else:
            self.started, self.generation = True, record.generation

    @property
    def state(self) -> TransferState:
        """How it stands as far as the journal tells: one that runs may have lost its daemon."""
        if self.end is not None:
            return self.end
        if not self.started:
            return TransferState.NOTSTARTED
        return TransferState.STOPPED if self.stopped else TransferState.INPROGRESS

    def verdict(self) -> TransferState | None:
        """How the transfer ends by its files; None while it has not started, or one is open."""
        if not self.started or len(self.outcomes) < len(self.items):
            return None
        good = sum(record.state == "FULLSUCCESS" for record in self.outcomes.values())
        if good == len(self.items):
            return TransferState.FULLSUCCESS
        return TransferState.PARTIALSUCCESS if good else TransferState.FAILED

    def open_items(self) -> list[ItemRecord]:
        """The files that have not ended, in their order."""
        return [item for item in self.items if item.index not in self.outcomes]

    def bytes_done(self, live: Mapping[int, int]) -> int:
        """Bytes in temp files, holes included: of ended files, proven, or `live` by index."""
        return sum(max(self._done(item), live.get(item.index, 0)) for item in self.items)

    def _done(self, item: ItemRecord) -> int:
        ended, progress = self.outcomes.get(item.index), self.progress.get(item.index)
        if ended is not None:
            return item.size if ended.state == "FULLSUCCESS" else 0
        return 0 if progress is None else progress.offset


def source_of(item: ItemRecord) -> bytes:
    """The path that `item` is copied from."""
    return names.from_text(item.source)


def target_of(item: ItemRecord) -> tuple[bytes, bytes]:
    """Directory and name of the temp file that `item` is copied to."""
    return names.split(names.from_text(item.target))


def replay(fd: int) -> tuple[Transfer, int]:
    """The transfer whose journal is open at `fd`, and the bytes of whole lines in it.

    A torn tail is passed over. A journal in which no line is whole has no handle.

    Raises:
        ValueError: it is damaged; says at which line.
        OSError: it cannot be read.
    """
    transfer, whole = Transfer(), 0
    lines = journal.payloads(fd, limit_bytes=JOURNAL_MAX)
    for line, (payload, end) in enumerate(lines, start=1):
        try:
            transfer.take(decode(payload))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from error
        whole = end
    return transfer, whole
