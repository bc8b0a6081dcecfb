"""What the library and bbcmd have in common: handles as text, tags as numbers, BBSTATUS."""

import re
from typing import NamedTuple

from poststage.backends.base import Answer
from poststage.model import TransferState

_TAG = re.compile(r"[0-9a-f]{16}")
_HANDLE = re.compile(r"([0-9]{1,19})\.([0-9]{1,19}):([0-9]{1,20})")

STATES = {
    0x01: TransferState.NOTSTARTED,
    0x02: TransferState.INPROGRESS,
    0x04: TransferState.PARTIALSUCCESS,
    0x08: TransferState.FULLSUCCESS,
    0x10: TransferState.CANCELED,
    0x20: TransferState.FAILED,
    0x40: TransferState.STOPPED,
}
"""BBSTATUS; any other is UNKNOWN."""


class Place(NamedTuple):
    """Where a transfer is: `JOB.STEP:NUMBER`."""

    job: int
    step: int
    number: int

    def __str__(self) -> str:
        return f"{self.job}.{self.step}:{self.number}"


def parse(handle: str) -> Place | None:
    """What `handle` says; None if it is none of ours."""
    match = _HANDLE.fullmatch(handle)
    if match is None or int(match[3]) >= 2**64:
        return None
    return Place(int(match[1]), int(match[2]), int(match[3]))


def number_of(tag: str) -> int | None:
    """The BBTAG that a transfer's id is; None if it is no id."""
    return int(tag, 16) if _TAG.fullmatch(tag) else None


def unknown(reason: str) -> Answer:
    """UNKNOWN, and why."""
    return Answer(TransferState.UNKNOWN, reason=reason)
