"""Record ↔ model: names from their written form to bytes, and what types cannot express."""

from functools import lru_cache

from poststage import names
from poststage.model import Ended, Entry, Head, Identity, Kind, Meta, Verdict
from poststage.statefile.records import (
    REASON_MAX,
    VERSION,
    EntryRecord,
    EventRecord,
    PriorRecord,
    TransferRecord,
    VerdictRecord,
)

_FILE = Kind.FILE  # looked up once: a member of an Enum takes longer than a system call


def head_record(head: Head) -> TransferRecord:
    """`head` as the first record of a state file."""
    return TransferRecord(
        version=VERSION,
        id=head.id,
        dataset=_text(head.dataset),
        part=head.part,
        parts=head.parts,
        backend=_text(head.backend),
        created_ns=head.created_ns,
        host=_text(head.host),
        job=_text(head.job),
        pid=head.pid,
        move=head.move,
        ends_with_job=head.ends_with_job,
    )


def head_of(record: TransferRecord) -> Head:
    """The head that `record` stands for; ValueError if it cannot be one."""
    if record.version != VERSION:
        raise ValueError(f"format version {record.version} is not known (this is {VERSION})")
    if record.part >= record.parts:
        raise ValueError(f"part {record.part} of {record.parts}")
    return Head(
        id=record.id,
        dataset=_plain(record.dataset),
        part=record.part,
        parts=record.parts,
        backend=_plain(record.backend),
        created_ns=record.created_ns,
        host=_plain(record.host),
        job=_plain(record.job),
        pid=record.pid,
        move=record.move,
        ends_with_job=record.ends_with_job,
    )


def entry_record(entry: Entry) -> EntryRecord:
    """`entry` as a record."""
    prior, meta = entry.prior, entry.meta
    return EntryRecord(
        kind=entry.kind,
        source=names.to_text(entry.source),
        destination=names.to_text(entry.destination),
        temp=names.to_text(entry.temp),
        size=meta.size,
        uid=meta.uid,
        gid=meta.gid,
        mode=meta.mode,
        atime_ns=meta.atime_ns,
        mtime_ns=meta.mtime_ns,
        prior=None if prior is None else PriorRecord(prior.ino, prior.size, prior.mtime_ns),
        checksum=entry.checksum,
        target=None if entry.target is None else names.to_text(entry.target),
        link_to=entry.link_to,
    )


def is_plain(record: EntryRecord) -> bool:
    """Whether `record`, of a plain page, is a FILE entry that `entry_of` takes.

    A few comparisons tell most; False says nothing.
    """
    temp, prior = record.temp, record.prior
    directory, _, name = record.destination.rpartition("/")
    origin, _, known_as = record.source.rpartition("/")
    return (
        record.kind is _FILE
        and name != ""
        and known_as != ""
        and name[0] != "." == temp[:1]  # so the temp name is another one
        and known_as[0] != "."
        and _is_directory(directory)
        and _is_directory(origin)
        and len(name) <= names.NAME_MAX >= len(known_as)
        and 2 < len(temp) <= names.NAME_MAX
        and "/" not in temp
        and record.target is None
        and record.link_to is None
        and (prior is None or 0 <= prior.ino < 2**64)
    )


@lru_cache(maxsize=1024)
def _is_directory(text: str) -> bool:
    """Whether a plain `text` is an absolute path, less the most that stands behind it.

    Cached: a job's files lie in few directories.
    """
    path = text.encode("ascii")
    return names.is_absolute(path) and len(path) < names.PATH_MAX - 2 * names.NAME_MAX


def entry_of(record: EntryRecord, index: int) -> Entry:
    """The entry that `record` stands for at place `index`; ValueError if it cannot be one."""
    prior = record.prior
    entry = Entry(
        record.kind,
        names.from_text(record.source),
        names.from_text(record.destination),
        names.from_text(record.temp),
        Meta(record.size, record.uid, record.gid, record.mode, record.atime_ns, record.mtime_ns),
        None if prior is None else Identity(prior.ino, prior.size, prior.mtime_ns),
        record.checksum,
        None if record.target is None else names.from_text(record.target),
        record.link_to,
    )
    _check_names(entry)
    _check_kind(entry)
    if entry.prior is not None and not 0 <= entry.prior.ino < 2**64:
        raise ValueError("the prior inode number is out of range")
    if entry.link_to is not None and entry.link_to >= index:
        raise ValueError(f"link_to {entry.link_to} is no entry before this one")
    return entry


def _check_names(entry: Entry) -> None:
    if not names.is_absolute(entry.destination):
        raise ValueError("the destination is not a plain absolute path")
    if not names.is_absolute(entry.source):
        raise ValueError("the source is not a plain absolute path")
    if entry.kind is not Kind.DIRECTORY and not _fits(entry.temp, entry.destination):
        raise ValueError("the temp name is not a name beside the destination")
    target = entry.target
    if target is not None and (b"\0" in target or len(target) >= names.PATH_MAX):
        raise ValueError("the target is not one that a symbolic link can have")


def _check_kind(entry: Entry) -> None:
    """Each kind has exactly the fields that are its own."""
    kind = entry.kind
    if (kind is Kind.SYMLINK) is (entry.target is None):
        raise ValueError(f"target and kind {kind.value} do not fit")
    if (kind is Kind.LINK) is (entry.link_to is None):
        raise ValueError(f"link_to and kind {kind.value} do not fit")
    if entry.checksum is not None and kind is not Kind.FILE:
        raise ValueError(f"checksum and kind {kind.value} do not fit")
    if entry.temp and kind is Kind.DIRECTORY:
        raise ValueError("a directory has no temp name")


def ended_of(record: VerdictRecord) -> Ended:
    """The recorded verdict."""
    return Ended(Verdict(record.verdict), _plain(record.reason))


def handle_text(handle: str) -> str:
    """A backend's handle in written form."""
    return _text(handle)


def handle_of(record: EventRecord) -> str | None:
    """The handle of a `handle` event; None for another event's."""
    return None if record.handle is None else _plain(record.handle)


def reason_text(reason: str) -> str:
    """`reason` in written form, cut to what a verdict record takes."""
    text = _text(reason)
    if len(text) <= REASON_MAX:
        return text
    return names.to_text(reason.encode("utf-8", "surrogateescape")[: REASON_MAX // 3])


def _fits(temp: bytes, destination: bytes) -> bool:
    return names.is_component(temp) and temp != names.split(destination)[1]


def _text(text: str) -> str:
    return names.to_text(text.encode("utf-8", "surrogateescape"))


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    """Cached: a job's state files say the same of themselves."""
    return names.from_text(text).decode("utf-8", "surrogateescape")
