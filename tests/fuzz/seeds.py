"""What fuzzing starts from: the vectors, and files and lines as they are in use."""

import tarfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from poststage.copier import protocol
from tests.axl.lay import SHARED, file, metadata, pack, transfer
from tests.vectors import make

_LONG = 4096


def seeds(target: str) -> Iterator[bytes]:
    """Inputs of `target` that lead far into its code."""
    if target.startswith("state_"):
        yield from _states(alone=target == "state_records")
    elif target == "requests":
        yield from map(protocol.line_of, _REQUESTS)
    elif target == "replies":
        yield from map(protocol.line_of, _REPLIES)
    else:
        for raw in chain([_axl()], _recorded()):
            body = raw[20:-4]
            yield {"kvtree_file": raw, "axl_file": body}.get(target, b"\0\4" + bytes(4) + body)


def _states(*, alone: bool) -> Iterator[bytes]:
    for content, _ in make.vectors().values():
        if len(content) < _LONG:
            yield b"\n".join(line[9:] for line in content.splitlines()) if alone else content


def _axl() -> bytes:
    ids = {"UID": 1, "GID": 1, "MODE": 0o100644, "atime_ns": 1, "mtime_ns": 2, "ctime_ns": 3}
    return pack(transfer({b"/a": file(b"/b._AXL", **metadata(3, **ids))}))


def _recorded() -> Iterator[bytes]:
    """The state files of AXL's recorded directories, where they are at hand."""
    archive = Path(SHARED, "samples.tar.gz")
    if not archive.exists():
        return
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            found = tar.extractfile(member) if member.name.endswith("/state") else None
            if found is not None and member.size < _LONG:
                yield found.read()


_HANDLE = "0" * 16
_REQUESTS: tuple[protocol.AnyRequest, ...] = (
    protocol.Hello(),
    protocol.MakeHandle("a" * 16),
    protocol.Start(_HANDLE, 3),
    protocol.Status([_HANDLE]),
    protocol.ListAll(),
    protocol.Find(["a" * 16]),
    protocol.Cancel(_HANDLE),
    protocol.Resume(_HANDLE),
    protocol.Control("faults", {"limit": 4}),
    protocol.Stop(),
)
_REPLIES: tuple[protocol.AnyReply, ...] = (
    protocol.Done(),
    protocol.Refused("no", "why", 3),
    protocol.HelloReply(1, "emulator", 7, "node", 1, "r"),
    protocol.HandleReply(_HANDLE),
    protocol.FoundReply({"a": "b"}),
    protocol.StatusReply(_HANDLE, "INPROGRESS", "", 5, 2, 9, [1], []),
    protocol.ControlReply([1, {"a": None}]),
)
