"""Our verdicts on the files of another library's state file, kept beside it.

That file is never written. `NAME.axl.verdicts` is a journal: a transfer record whose id is
the hash of the state file it is about, then verdict records. It is replaced whole.
"""

import os
from collections.abc import Mapping

from poststage import names
from poststage.durable import atomic, fsops, journal
from poststage.errors import StateFileError
from poststage.model import Ended
from poststage.statefile import codec
from poststage.statefile.layout import VERDICTS_SUFFIX, beside
from poststage.statefile.reader import STATE_FILE_MAX
from poststage.statefile.records import (
    VERSION,
    Record,
    TransferRecord,
    VerdictRecord,
    decode,
    encode,
)
from poststage.statefile.writer import verdict_records

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read(dir_fd: int, name: bytes, *, id_: str, entries: int) -> dict[int, Ended]:
    """Entry index → verdict, for the state file `name` with hash `id_`.

    Empty if there are none, or they are about an older state file of that name.

    Raises:
        StateFileError: what stands there is damaged.
        OSError: it cannot be read.
    """
    kept = beside(name, VERDICTS_SUFFIX)
    try:
        fd = os.open(kept, _OPEN, dir_fd=dir_fd)
    except FileNotFoundError:
        return {}
    try:
        if not fsops.is_regular(os.fstat(fd)):
            raise ValueError("is not a regular file")
        return ended(fd, id_, entries)
    except ValueError as error:
        raise StateFileError(
            f"{names.shown(kept)}: {names.shown(str(error))}; no file was touched",
            hint="it holds verdicts on the files of the state file beside it; without it they "
            "are judged anew",
        ) from error
    finally:
        os.close(fd)


def ended(fd: int, id_: str, entries: int) -> dict[int, Ended]:
    """The verdicts in the open file; ValueError if it is damaged."""
    found: dict[int, Ended] = {}
    counted = 0
    for line, (payload, _) in enumerate(journal.payloads(fd, limit_bytes=STATE_FILE_MAX), start=1):
        record = decode(payload)
        if line == 1 and isinstance(record, TransferRecord):
            if record.id != id_:
                return {}
        elif line > 1 and isinstance(record, VerdictRecord):
            counted += record.count
            if record.index + record.count > entries or counted > entries:
                raise ValueError(f"line {line}: verdicts on more entries than there are")
            one = codec.ended_of(record)
            found.update(dict.fromkeys(range(record.index, record.index + record.count), one))
        else:
            raise ValueError(f"line {line}: this record cannot stand here")
    return found


def write(dir_fd: int, name: bytes, *, id_: str, ended: Mapping[int, Ended]) -> None:
    """Keep `ended`, all of it, for the state file `name` with hash `id_`; durable on return."""
    head = TransferRecord(VERSION, id_, "axl", 0, 1, "axl", 0)
    records: list[Record] = [head, *verdict_records(ended)]
    content = b"".join(journal.frame(encode(record)) for record in records)
    atomic.replace_file(dir_fd, beside(name, VERDICTS_SUFFIX), content, mode=0o600)


def drop(dir_fd: int, name: bytes) -> None:
    """Remove them, if there are any: the state file is set aside."""
    kept = beside(name, VERDICTS_SUFFIX)
    if fsops.facts(dir_fd, kept) is not None:
        fsops.unlink(dir_fd, kept)
