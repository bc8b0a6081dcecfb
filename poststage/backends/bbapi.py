"""IBM's burst buffer (CAST bbAPI): the library on compute nodes, `bbcmd` on the launch node.

A handle is `JOB.STEP:NUMBER`: a number means something only in its job step, and whoever
finalizes by hand has neither in his environment.
"""

import os
from collections.abc import Mapping, Sequence

from poststage.backends.base import Answer, Backend, Capabilities, Context, Item, Mover, Probe
from poststage.backends.bbapi_library import CANCELED, NOTSTARTED, Library
from poststage.backends.bbcmd import CommandProbe
from poststage.backends.bbstatus import STATES, Place, number_of, parse, unknown
from poststage.backends.movable import require_movable
from poststage.errors import BackendError
from poststage.model import TransferState

CAPABILITIES = Capabilities(
    handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
)
_POST_STAGE = "LSF_STAGE_USER_STAGE_OUT"


class BbapiMover:
    """The compute node's side."""

    capabilities = CAPABILITIES

    def __init__(self, library: Library) -> None:
        self._library = library

    def handle(self, tag: str) -> str:
        """As `Mover.handle`: bbAPI gives the same number for the same tag and contributor."""
        number = number_of(tag)
        if number is None:
            raise BackendError(f"transfer {tag!r}: is no tag of 64 bits; nothing was made")
        info = self._library.info(self._library.handle(number))
        return str(Place(info.jobid, info.jobstepid, info.handle))

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """As `Mover.start`. bbAPI itself does not look whether a source has changed."""
        number = _require(handle).number
        if self._is_started(handle, number):
            return
        require_movable(items)
        try:
            self._library.start(number, [(item.source, item.target) for item in items])
        except BackendError:
            if not self._is_started(handle, number):  # else it was accepted after all
                raise

    def close(self) -> None:
        """As `Mover.close`."""

    def _is_started(self, handle: str, number: int) -> bool:
        status = self._library.info(number).status
        if status == CANCELED:
            raise BackendError(f"transfer {handle}: is cancelled; it was not started")
        return bool(status != NOTSTARTED)


class LibraryProbe:
    """The compute node's side of asking; answers for this job step alone."""

    capabilities = CAPABILITIES

    def __init__(self, library: Library) -> None:
        self._library = library

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`; a call each, to this node's bbProxy."""
        return {handle: self._answer(handle) for handle in handles}

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`."""
        wanted = {number_of(tag): tag for tag in tags}
        found = {}
        for number in self._library.handles():
            info = self._library.info(number)
            if info.tag in wanted:
                found[wanted[info.tag]] = str(Place(info.jobid, info.jobstepid, info.handle))
        return found

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`; what has ended is not told to end."""
        answer = self._answer(handle)
        if answer.state is TransferState.UNKNOWN or answer.state.ended:
            return answer
        try:
            self._library.cancel(_require(handle).number)
        except BackendError as error:
            return _after_refusal(self._answer(handle), error)
        return self._answer(handle)

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: bbAPI has no such thing; how it stands."""
        return self._answer(handle)

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`: the vendor's records go with the job."""

    def close(self) -> None:
        """As `Probe.close`."""

    def _answer(self, handle: str) -> Answer:
        place = parse(handle)
        if place is None:
            return unknown("is not a handle of this backend")
        try:
            info = self._library.info(place.number)
        except BackendError as error:
            return unknown(error.message)
        if (info.jobid, info.jobstepid) != place[:2]:
            return unknown("belongs to another job step; ask where bbcmd works")
        return Answer(STATES.get(info.status, TransferState.UNKNOWN))


def _after_refusal(now: Answer, error: BackendError) -> Answer:
    return now if now.state.ended else unknown(error.message)


def _require(handle: str) -> Place:
    place = parse(handle)
    if place is None:
        raise BackendError(f"transfer {handle!r}: is not a handle of this backend; not started")
    return place


def _mover(context: Context) -> Mover:
    return BbapiMover(Library(str(context.settings["library"])))


def _probe(context: Context) -> Probe:
    """The library's probe where the library works, else bbcmd's: in post-stage it does not."""
    settings = context.settings
    if not os.environ.get(_POST_STAGE):
        try:
            return LibraryProbe(Library(str(settings["library"])))
        except BackendError:
            pass  # a launch node by hand, or a service node
    return CommandProbe(str(settings["bbcmd"]), float(settings["timeout_s"]))


BACKEND = Backend(
    name="bbapi",
    open_mover=_mover,
    open_probe=_probe,
    defaults={
        "library": "/opt/ibm/bb/lib/libbbAPI.so",
        "bbcmd": "/opt/ibm/bb/bin/bbcmd",
        "timeout_s": 30.0,
    },
    least={"timeout_s": 0.001},
    paths=frozenset({"library", "bbcmd"}),
)
