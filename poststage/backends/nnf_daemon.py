"""The calls to nnf-dm's `datamovement.DataMover`, and what its answers mean.

States and numbers: datamovement.proto. State says where a movement is, status how it ended.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
from msgspec import Struct

from poststage.backends.nnf_messages import SERVICE, classes
from poststage.errors import BackendError
from poststage.model import TransferState
from poststage.names import shown

_CREATED = 0
_COMPLETED = 3
_SUCCESS, _FAILED, _CANCELLED = 2, 3, 4
_ON_THE_WAY = frozenset({0, 1, 2, 4})  # pending, starting, running, cancelling
_ENDS = {
    _SUCCESS: TransferState.FULLSUCCESS,
    _FAILED: TransferState.FAILED,
    _CANCELLED: TransferState.CANCELED,
}
_NOT_FOUND = 1
_CANCEL_NOT_FOUND, _CANCEL_SUCCESS = 1, 2
_DEFAULT_SLOTS = -1
_HINT = "nnf-dm listens on compute nodes that have a Rabbit; [backend.nnf] socket names it"
_TEMP = re.compile(r"\.([0-9a-f]{16})-([0-9]{1,9})\.poststage(?![0-9A-Za-z._-])")


class Workflow(NamedTuple):
    """Rabbit's name for a job's storage."""

    namespace: str
    name: str


class Movement(Struct, frozen=True):
    """One data movement, with the transfer and file that its command tells."""

    uid: str
    state: TransferState
    reason: str = ""
    tag: str = ""
    index: int = -1

    @property
    def unplaced(self) -> bool:
        """It goes on, and has not told its command yet: it may be anybody's."""
        return not self.tag and not self.state.ended


class Daemon:
    """One daemon's socket; every method may raise BackendError."""

    def __init__(self, socket: str, timeout_s: float) -> None:
        self._socket, self._timeout_s = socket, timeout_s
        self._messages = classes()
        self._ended: dict[str, Movement] = {}  # what has ended stays so, and is asked once

    def require(self) -> None:
        """Raise BackendError if there is no such socket on this node."""
        if not os.path.exists(self._socket):
            raise BackendError(f"nnf-dm: no socket {shown(self._socket)} on this node", hint=_HINT)

    def create(
        self, workflow: Workflow, source: str, target: str, settings: Mapping[str, str]
    ) -> None:
        """Begin to move one file."""
        with self._channel() as channel:
            reply = self._call(
                channel,
                "Create",
                workflow,
                source=source,
                destination=target,
                dcpOptions=settings["dcp_options"],
                profile=settings["profile"],
                slots=_DEFAULT_SLOTS,
                maxSlots=_DEFAULT_SLOTS,
            )
        if reply.status != _CREATED:
            raise BackendError(f"{shown(source)}: refused by nnf-dm: {shown(reply.message)}")

    def movements(self, workflow: Workflow) -> list[Movement]:
        """All of the workflow's movements; a call each for those that had not ended."""
        with self._channel() as channel:
            found = []
            for uid in self._call(channel, "List", workflow).uids:
                if uid not in self._ended:
                    one = self._movement(channel, workflow, uid)
                    if one.state.ended:
                        self._ended[uid] = one
                    found.append(one)
                else:
                    found.append(self._ended[uid])
            return found

    def cancel(self, workflow: Workflow, uid: str) -> None:
        """Ask for a movement's end, and wait for it as long as for any answer."""
        with self._channel() as channel:
            reply = self._call(channel, "Cancel", workflow, uid=uid)
            if reply.status not in {_CANCEL_SUCCESS, _CANCEL_NOT_FOUND}:
                raise BackendError(f"data movement {uid}: {shown(reply.message)}")
            wait_s = max(1, int(self._timeout_s / 2))
            self._call(channel, "Status", workflow, uid=uid, maxWaitTime=wait_s)

    def _movement(self, channel: grpc.Channel, workflow: Workflow, uid: str) -> Movement:
        told = self._call(channel, "Status", workflow, uid=uid, maxWaitTime=0)
        places = _TEMP.findall(told.commandStatus.command)
        tag, index = places[-1] if places else ("", "-1")
        return Movement(
            uid, state_of(told.state, told.status), shown(told.message), tag, int(index)
        )

    def _channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"unix://{self._socket}")

    def _call(self, channel: grpc.Channel, method: str, workflow: Workflow, **fields: Any) -> Any:
        request = self._messages[f"{method}Request"](workflow=workflow._asdict(), **fields)
        call = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=self._messages[f"{method}Response"].FromString,
        )
        try:
            return call(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise BackendError(
                f"nnf-dm at {shown(self._socket)}: {_fact(error)}",
                hint=_HINT,
            ) from error


def state_of(state: int, status: int) -> TransferState:
    """How a movement stands; UNKNOWN for what is not known, be it new."""
    if status == _NOT_FOUND:
        return TransferState.UNKNOWN
    if state in _ON_THE_WAY:
        return TransferState.INPROGRESS
    if state == _COMPLETED:
        return _ENDS.get(status, TransferState.UNKNOWN)
    return TransferState.UNKNOWN


def _fact(error: grpc.RpcError) -> str:
    """gRPC's own words; every error of a call is a Call too."""
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    return shown(details or "no answer")
