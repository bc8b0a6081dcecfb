"""AXL's directories for tests: recorded samples, and state files written by an independent hand."""

import hashlib
import os
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "axl-samples"
Pairs = list[tuple[bytes, Any]]


def require_samples() -> None:
    """Skip where the recordings are not at hand; on a CI machine they have to be."""
    if SHARED.is_dir():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{SHARED} is not there")
    pytest.skip("the recorded directories of AXL are not here")


def place(sample: str, top: Path) -> Path:
    """The recorded directory, laid down at `top`; a plain user's ids where nobody is root.

    As its own place.py does, which needs a newer patch release of Python than this project.
    """
    require_samples()
    trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    with tarfile.open(SHARED / "samples.tar.gz") as tar:
        for member in tar.getmembers():
            if member.name == sample or member.name.startswith(sample + "/"):
                member.name = member.name.removeprefix(sample).lstrip("/") or "."
                tar.extract(member, top, numeric_owner=True, **trusted)  # type: ignore[arg-type]
    state = top / "state"
    raw = state.read_bytes()
    if struct.unpack_from(">Q", raw, 8)[0] == len(raw):  # a damaged one stays as it is
        moved = _moved(unpack(raw), f"/axl-samples/{sample}".encode(), os.fsencode(top.absolute()))
        state.write_bytes(pack(moved if os.geteuid() == 0 else _as_ours(moved)))
    return top


def _moved(tree: Pairs, old: bytes, new: bytes) -> Pairs:
    return [
        (new + key.removeprefix(old) if key.startswith(old) else key, _moved(below, old, new))
        for key, below in tree
    ]


def _as_ours(tree: Pairs) -> Pairs:
    ids = {b"UID": os.geteuid(), b"GID": os.getegid()}
    return [(key, value(ids[key]) if key in ids else _as_ours(below)) for key, below in tree]


def unpack(raw: bytes) -> Pairs:
    """The pairs in a KVTree file's bytes."""
    return _unpacked(raw, 20)[0]


def _unpacked(raw: bytes, at: int) -> tuple[Pairs, int]:
    (count,) = struct.unpack_from(">I", raw, at)
    at += 4
    found: Pairs = []
    for _ in range(count):
        end = raw.index(b"\0", at)
        below, after = _unpacked(raw, end + 1)
        found.append((raw[at:end], below))
        at = after
    return found, at


def pack(tree: Pairs) -> bytes:
    """A whole KVTree file: header, `tree`, checksum."""
    body = packed(tree)
    head = struct.pack(">IHHQI", 0x951FC3F5, 1, 1, 20 + len(body) + 4, 1) + body
    return head + struct.pack(">I", zlib.crc32(head))


def packed(tree: Pairs) -> bytes:
    """A tree without header and checksum."""
    return struct.pack(">I", len(tree)) + b"".join(
        key + b"\0" + packed(below) for key, below in tree
    )


def value(of: int | bytes | str) -> Pairs:
    """A plain value."""
    raw = of if isinstance(of, bytes) else str(of).encode()
    return [(raw, [])]


def file(destination: bytes, status: int = 1, **meta: int) -> Pairs:
    """What AXL records of a file; `meta` as in `metadata`, none before dispatch."""
    kept = [(key.encode(), value(number)) for key, number in meta.items()]
    return [(b"DEST", value(destination)), (b"STATUS", value(status)), *kept]


def metadata(size: int, **changes: int) -> dict[str, int]:
    """The keys that AXL adds at dispatch; `mtime_ns`, `atime_ns`, `ctime_ns`, UID, GID, MODE."""
    mtime = changes.pop("mtime_ns", 1_650_000_000_987_654_321)
    atime = changes.pop("atime_ns", 1_600_000_000_123_456_789)
    ctime = changes.pop("ctime_ns", 1_650_000_001_000_000_000)
    found = {"SIZE": size, "UID": os.geteuid(), "GID": os.getegid(), "MODE": 0o100640}
    for key, time_ns in {"MTIME": mtime, "ATIME": atime, "CTIME": ctime}.items():
        found[f"{key}_SECS"] = time_ns // 10**9 % (1 << 64)  # before 1970: wrapped, as in AXL
        found[f"{key}_NSECS"] = time_ns % 10**9
    return {**found, **changes}


def transfer(
    files: dict[bytes, Pairs], *, state: int = 2, status: int = 2, kind: int = 7, **more: int
) -> Pairs:
    """A whole transfer, by source; `more` are further top-level keys."""
    plain: dict[str, int | bytes] = {
        "NAME": b"n",
        "TYPE": kind,
        "STATE": state,
        "STATUS": status,
        "STATE_FILE": b"/where/it/was",
        "FILE_BUF_SIZE": 33554432,
        "MKDIR": 1,
        "USE_EXTENSION": 1,
        "COPY_METADATA": 1,
        **more,
    }
    found: Pairs = [(key.encode(), value(one)) for key, one in plain.items()]
    return [*found, (b"FILE", list(files.items()))] if files else found


def digest(path: bytes | Path) -> str:
    """How the SHA-256 of the contents begins; the file's times are left alone."""
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        with os.fdopen(fd, "rb", closefd=False) as opened:
            return hashlib.sha256(opened.read()).hexdigest()[:16]
    finally:
        os.close(fd)
