"""Record ↔ model: names from their written form to bytes, and what types cannot express."""

from poststage import names
from poststage.model import Ended, Entry, Head, Identity, Kind, Meta, Verdict
from poststage.statefile.records import (
    VERSION,
    EntryRecord,
    PriorRecord,
    TransferRecord,
    VerdictRecord,
)

_KINDS = {kind.value: kind for kind in Kind}


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
    )


def entry_record(entry: Entry) -> EntryRecord:
    """`entry` as a record."""
    prior, meta = entry.prior, entry.meta
    return EntryRecord(
        kind=entry.kind.value,
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


def entry_of(record: EntryRecord, index: int) -> Entry:
    """The entry that `record` stands for at place `index`; ValueError if it cannot be one."""
    kind, prior = _KINDS[record.kind], record.prior
    destination, temp = names.from_text(record.destination), names.from_text(record.temp)
    if not names.is_absolute(destination):
        raise ValueError("the destination is not a plain absolute path")
    if kind is not Kind.DIRECTORY and not _fits(temp, destination):
        raise ValueError("the temp name is not a name beside the destination")
    if prior is not None and not 0 <= prior.ino < 2**64:
        raise ValueError("the prior inode number is out of range")
    if (kind is Kind.SYMLINK) is (record.target is None):
        raise ValueError(f"target and kind {record.kind} do not fit")
    if (kind is Kind.LINK) is (record.link_to is None) or (record.link_to or 0) > index:
        raise ValueError(f"link_to and kind {record.kind} do not fit")
    return Entry(
        kind,
        names.from_text(record.source),
        destination,
        temp,
        Meta(record.size, record.uid, record.gid, record.mode, record.atime_ns, record.mtime_ns),
        None if prior is None else Identity(prior.ino, prior.size, prior.mtime_ns),
        record.checksum,
        None if record.target is None else names.from_text(record.target),
        record.link_to,
    )


def ended_of(record: VerdictRecord) -> Ended:
    """The recorded verdict."""
    return Ended(Verdict(record.verdict), _plain(record.reason))


def reason_text(reason: str) -> str:
    """`reason` in written form, cut to what a verdict record takes."""
    text = _text(reason)
    return text if len(text) <= 8192 else _text(reason[:2000])


def _fits(temp: bytes, destination: bytes) -> bool:
    return names.is_component(temp) and temp != names.split(destination)[1]


def _text(text: str) -> str:
    return names.to_text(text.encode("utf-8", "surrogateescape"))


def _plain(text: str) -> str:
    return names.from_text(text).decode("utf-8", "surrogateescape")
