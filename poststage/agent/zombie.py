"""Transfers of an old job, known by the name of a temp file alone: found, and cancelled.

Our temp names carry the transfer's id, which is its tag at the backend; AXL's for IBM's burst
buffer carry the handle. So a stray temp file leads to who may still write it.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

from poststage import names
from poststage.agent.known import Probes
from poststage.backends.base import Answer
from poststage.errors import BackendError, PoststageError, UsageError
from poststage.model import TransferState

_OURS = re.compile(rb"\..*\.([0-9a-f]{16})-\d+\.poststage\Z", re.DOTALL)
_AXLS = re.compile(rb".*\._AXL(\d{1,20})\Z", re.DOTALL)
_AXLS_BACKEND = "bbapi"


class Zombie(Struct, frozen=True):
    """What a temp name tells: the tag of one of our transfers, or a vendor's handle."""

    tag: str | None = None
    handle: str | None = None
    backend: str | None = None
    """The only one that it can be of; None: any that the site allows."""


def of_temp(name: bytes) -> Zombie:
    """What the temp file `name` (without its directory) tells.

    Raises:
        UsageError: it is no temp name of ours, nor one of AXL's with a handle in it.
    """
    ours = _OURS.match(name)
    if ours is not None:
        return Zombie(tag=ours[1].decode("ascii"))
    axls = _AXLS.match(name)
    if axls is not None:
        return Zombie(handle=axls[1].decode("ascii"), backend=_AXLS_BACKEND)
    raise UsageError(
        f"temp file {names.shown(name)}: its name names no transfer; nothing was cancelled",
        hint="names of ours end in .ID-INDEX.poststage, AXL's for IBM in ._AXLHANDLE",
    )


def cancel(zombie: Zombie, probes: Probes, backends: Iterable[str]) -> Answer:
    """Make whoever knows it stop; nothing more is written if the answer's state has ended.

    `backends` are asked one after the other. The state file, if there still is one, is left
    to the finalizer.

    Raises:
        UsageError: all of them have answered, and none knows it.
        BackendError: one did not answer, and the others do not know it.
    """
    silent: PoststageError | None = None
    for backend in [zombie.backend] if zombie.backend else backends:
        try:
            answer = _cancelled(zombie, probes, backend)
        except PoststageError as error:
            silent = error
            continue
        if answer is not None:
            return answer
    if silent is not None:
        raise BackendError(f"{silent.message}; nothing was cancelled") from silent
    what = zombie.tag or zombie.handle or ""
    raise UsageError(f"transfer {what}: no backend knows it; nothing writes for it any more")


def _cancelled(zombie: Zombie, probes: Probes, backend: str) -> Answer | None:
    """The answer to a cancel; None if `backend` does not know the transfer."""
    probe = probes.of(backend)
    handle = zombie.handle
    if zombie.tag is not None:
        handle = probe.find([zombie.tag]).get(zombie.tag)
    if handle is None:
        return None
    if zombie.backend is None and zombie.tag is None:
        known = probe.answers([handle])[handle].state
        if known is TransferState.UNKNOWN:
            return None
    return probe.cancel(handle)
