"""What goes over the socket: one JSON object a line; see docs/emulator-protocol.md."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from poststage.copier.records import Count, Handle, ItemRecord, OutcomeRecord, Tag

VERSION = 1
LINE_MAX = 1 << 20  # bytes of a request or reply, with its newline
FILES_PER_REPLY = 2048  # outcomes in one status reply, 400 bytes each at most

Tags = Annotated[list[Tag], Meta(max_length=5000)]
Handles = Annotated[list[Handle], Meta(max_length=2000)]


class Request(Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """What all requests share."""


class Hello(Request, tag="hello", frozen=True):
    """Who are you? → HelloReply."""

    version: int = VERSION


class MakeHandle(Request, tag="handle", frozen=True):
    """The handle of `tag`, made if there is none → HandleReply."""

    tag: Tag


class Add(Request, tag="add", frozen=True):
    """Files number `first` (from 0) and following of a transfer → Done. Repeating is harmless."""

    handle: Handle
    first: Count
    items: Annotated[list[ItemRecord], Meta(max_length=10000)]


class Start(Request, tag="start", frozen=True):
    """Start the transfer of `count` files → Done. Repeating is harmless."""

    handle: Handle
    count: Count


class Status(Request, tag="status", frozen=True):
    """How do these stand? → for each at least one StatusReply, then Done."""

    handles: Handles


class ListAll(Request, tag="list", frozen=True):
    """Every transfer without its files → StatusReplies, then Done."""


class Find(Request, tag="find", frozen=True):
    """The handles of those `tags` that are known → FoundReply."""

    tags: Tags


class Cancel(Request, tag="cancel", frozen=True):
    """Stop writing, for good → StatusReplies of this transfer, then Done."""

    handle: Handle


class Resume(Request, tag="resume", frozen=True):
    """Go on with a STOPPED transfer → StatusReplies of this transfer, then Done."""

    handle: Handle


class Forget(Request, tag="forget", frozen=True):
    """Nobody will ask for these any more: what has ended may be forgotten → Done."""

    handles: Handles


class Control(Request, tag="control", frozen=True):
    """A request of the daemon's owner (`faults`, `detach`) → ControlReply."""

    name: Annotated[str, Meta(max_length=32)]
    value: Any = None


class Stop(Request, tag="stop", frozen=True):
    """End the daemon; transfers are STOPPED and go on at the next start → Done."""


class Reply(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="reply"):
    """What all replies share."""


class Done(Reply, tag="done", frozen=True):
    """It is so."""


class Refused(Reply, tag="error", frozen=True):
    """It is not, and why. After garbage the connection is closed."""

    message: str
    hint: str = ""
    exit_code: Annotated[int, Meta(ge=1, le=255)] = 75
    """As which a command ends that asked; see `errors.ExitCode`."""


class HelloReply(Reply, tag="hello", frozen=True):
    """Who answers."""

    version: int
    program: str
    pid: int
    host: str
    since_ns: int
    root_id: str


class HandleReply(Reply, tag="handle", frozen=True):
    """The handle."""

    handle: str


class FoundReply(Reply, tag="found", frozen=True):
    """Tag → handle."""

    handles: dict[str, str]


class StatusReply(Reply, tag="status", frozen=True):
    """One transfer, or a part of its files: replies with equal handles belong together."""

    handle: str
    state: str
    reason: str = ""
    bytes_done: int | None = None
    file_count: int = 0
    size_bytes: int = 0
    """Of all files together."""
    open: list[int] = []
    """Indexes of files that have not ended."""
    files: list[OutcomeRecord] = []
    """Files that have ended."""


class ControlReply(Reply, tag="control", frozen=True):
    """What the owner's request gave."""

    value: Any = None


AnyRequest = (
    Hello
    | MakeHandle
    | Add
    | Start
    | Status
    | ListAll
    | Find
    | Cancel
    | Resume
    | Forget
    | Control
    | Stop
)
AnyReply = Done | Refused | HelloReply | HandleReply | FoundReply | StatusReply | ControlReply

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyRequest)
_replies: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyReply)


def line_of(message: AnyRequest | AnyReply) -> bytes:
    """`message` as a line."""
    return _encoder.encode(message) + b"\n"


def request_of(line: bytes) -> AnyRequest:
    """The request that `line` is; ValueError if it is none."""
    return _decoded(_requests, line)  # type: ignore[no-any-return] # the decoder's own type


def reply_of(line: bytes) -> AnyReply:
    """The reply that `line` is; ValueError if it is none."""
    return _decoded(_replies, line)  # type: ignore[no-any-return] # the decoder's own type


def _decoded(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
