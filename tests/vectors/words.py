"""Records, lines and expected values for the test vectors: plain json and zlib."""

import json
import zlib
from typing import Any

Json = dict[str, Any]
LINE_MAX = 65536
U32, S63, U64 = 2**32, 2**63, 2**64


def written(name: bytes) -> str:
    """The written form of a name."""
    plain = [0x20 <= byte <= 0x7E and byte not in b'%"\\' for byte in name]
    return "".join(
        chr(byte) if ok else f"%{byte:02X}" for byte, ok in zip(name, plain, strict=True)
    )


def line(record: Json | bytes) -> bytes:
    """One line of a state file."""
    if isinstance(record, bytes):
        payload = record
    else:
        payload = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return f"{zlib.crc32(payload):08x} ".encode() + payload + b"\n"


def lines(*records: Json | bytes) -> bytes:
    """A whole state file."""
    return b"".join(map(line, records))


# ---- records -------------------------------------------------------------------------------

HEAD_DEFAULTS: Json = {"host": "", "job": "", "pid": 0, "move": False, "ends_with_job": False}

HEAD: Json = {
    "record": "transfer",
    "version": 1,
    "id": "00c0ffee00c0ffee",
    "dataset": "step.0",
    "part": 0,
    "parts": 1,
    "backend": "emulator",
    "created_ns": 1_700_000_000_123_456_789,
}
STARTED: Json = {"record": "event", "event": "started", "time_ns": 5}
CANCELLED: Json = {"record": "event", "event": "cancelled", "time_ns": 6}
HANDLE: Json = {"record": "event", "event": "handle", "time_ns": 4, "handle": "17"}


def recorded(entries: int) -> Json:
    """The event that all entries are there."""
    return {"record": "event", "event": "recorded", "time_ns": 3, "entries": entries}


def verdict(index: int, word: str, **more: Any) -> Json:
    """A verdict; `more` is count and reason."""
    return {"record": "verdict", "index": index, "verdict": word, "time_ns": 9, **more}


def entry(kind: str = "file", name: bytes = b"data.0", **more: Any) -> Json:
    """One entry; `more` replaces fields (None takes one away) or adds one in its place."""
    temp = b"" if kind == "directory" else b"." + name[:200] + b".00c0ffee00c0ffee-0.poststage"
    fields: Json = {
        "kind": kind,
        "source": written(b"/bb/" + name),
        "destination": written(b"/lustre/me/" + name),
        "temp": written(temp),
        "size": 12,
        "uid": 1000,
        "gid": 100,
        "mode": 0o644,
        "atime_ns": 1_600_000_000_000_000_001,
        "mtime_ns": 1_500_000_000_000_000_002,
    }
    order = (*fields, "prior", "checksum", "target", "link_to")
    fields |= more
    kept = {key: fields[key] for key in order if fields.get(key) is not None}
    return {"record": "entry", **kept}


# ---- expected values -----------------------------------------------------------------------


def value(*records: Json, torn: bool = False) -> Json:
    """What `records`, all of them good, say."""
    head = {**HEAD_DEFAULTS, **records[0]}
    del head["record"], head["version"]
    result: Json = {"head": head, "entries": [], "handle": None, "torn": torn}
    result |= {"recorded": False, "started": False, "cancelled": False}
    for record in records[1:]:
        if record["record"] == "entry":
            absent = dict.fromkeys(("prior", "checksum", "target", "link_to", "ended"))
            result["entries"].append({**absent, **record})
            del result["entries"][-1]["record"]
        elif record["record"] == "verdict":
            first = record["index"]
            for one in result["entries"][first : first + record.get("count", 1)]:
                one["ended"] = {"verdict": record["verdict"], "reason": record.get("reason", "")}
        elif record["event"] == "handle":
            result["handle"] = record["handle"]
        else:
            result[record["event"]] = True
    return result


class Vectors:
    """All vectors, by name."""

    def __init__(self) -> None:
        self.all: dict[str, tuple[bytes, Json | None]] = {}

    def put(self, name: str, content: bytes, expected: Json | None) -> None:
        """One vector; each name once."""
        assert name not in self.all, name
        self.all[name] = content, expected

    def good(self, name: str, *records: Json, tail: bytes = b"") -> None:
        """A file that says what its records say; `tail` is torn."""
        self.put(name, lines(*records) + tail, value(*records, torn=bool(tail)))

    def bad(self, name: str, why: str, *records: Json | bytes, at: int | None = None) -> None:
        """A file whose line `at` (the last by default) breaks exactly one rule."""
        self.damaged(name, why, lines(*records), at or len(records))

    def damaged(self, name: str, why: str, content: bytes, at: int) -> None:
        """Bytes that are damaged at line `at`."""
        self.put(name, content, {"error": f"line {at}", "why": why})
