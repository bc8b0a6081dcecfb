"""Vectors of files that are good, or torn at their end."""

from tests.vectors.words import (
    CANCELLED,
    HANDLE,
    HEAD,
    LINE_MAX,
    S63,
    STARTED,
    U32,
    U64,
    Json,
    Vectors,
    entry,
    line,
    recorded,
    verdict,
    written,
)


def transfers(to: Vectors) -> None:
    """Whole files."""
    to.put("good-nothing-at-all", b"", None)
    to.good("good-only-the-head", HEAD)
    to.good("good-empty-transfer", HEAD, recorded(0))
    to.good("good-not-yet-recorded", HEAD, entry(), entry(name=b"data.1"))
    to.good("good-one-file", HEAD, entry(), recorded(1), HANDLE, STARTED)
    extra = {"host": "node17", "job": "4711.server", "pid": 4242}
    to.good("good-head-with-all-fields", HEAD | {"part": 3, "parts": 4} | extra, recorded(0))
    to.good(
        "good-moved-and-ends-with-job", HEAD | {"move": True, "ends_with_job": True}, recorded(0)
    )
    dataset = {"dataset": written("größe/../\n.0".encode())}
    to.good("good-dataset-of-odd-bytes", HEAD | dataset, recorded(0))
    to.good("good-handle-before-recorded", HEAD, HANDLE, entry(), recorded(1), STARTED)
    second = HANDLE | {"handle": written(b'"18" \\ %')}
    to.good("good-last-handle-counts", HEAD, entry(), recorded(1), HANDLE, second)
    to.good("good-cancelled", HEAD, entry(), recorded(1), HANDLE, STARTED, CANCELLED)
    to.good("good-cancelled-while-recording", HEAD, entry(), CANCELLED, entry(), recorded(2))
    many = [entry(name=b"data.%d" % number) for number in range(50)]
    to.good("good-fifty-files", HEAD, *many, recorded(50), HANDLE, STARTED)


def entries(to: Vectors) -> None:
    """Names, kinds, ranges."""
    names = [b"new\nline", b"tab\there", b"\x1b[31mred", b"\xff\xfe no utf-8", "größe".encode()]
    names += [b'100%, "quoted", back\\slash', b"\x7f\x01", b" ", b"x" * 255, b"\xff" * 255]
    odd = [entry(name=name) for name in names]
    to.good("good-odd-names", HEAD, *odd, recorded(len(odd)), HANDLE, STARTED)
    deep = b"/" + b"/".join([b"d" * 255] * 15) + b"/" + b"e" * 254
    assert len(deep) == 4095
    to.good("good-longest-path", HEAD, entry(source=deep.decode(), destination=deep.decode()))
    kinds = [
        entry("directory", b"dir"),
        entry("file", b"dir/data"),
        entry("link", b"hard", link_to=1),
        entry("symlink", b"soft", target=written(b"../\xff/nowhere")),
        entry("directory", b"dir/sub"),
    ]
    for kind in kinds:
        kind["temp"] = kind["temp"].replace("/", "_")
    to.good("good-all-kinds", HEAD, *kinds, recorded(5), HANDLE, STARTED)
    modes = [entry(mode=mode) for mode in (0, 0o4755, 0o2755, 0o1777, 0o7777, 0o444)]
    to.good("good-modes-setuid-and-none", HEAD, *modes, recorded(6))
    times = [entry(atime_ns=t, mtime_ns=-t) for t in (0, 1, -1, S63 - 1, -1_000_000_001)]
    oldest = entry(atime_ns=-S63, mtime_ns=-S63)
    to.good("good-times-negative-and-extreme", HEAD | {"created_ns": -1}, *times, oldest)
    limits: Json = {"size": S63 - 1, "uid": U32 - 2, "gid": U32 - 2}
    there = {"ino": U64 - 1, "size": S63 - 1, "mtime_ns": -S63}
    to.good("good-numbers-at-their-limits", HEAD, entry(**limits, prior=there), recorded(1))
    zeros: Json = {"size": 0, "uid": 0, "gid": 0, "mode": 0, "atime_ns": 0, "mtime_ns": 0}
    nothing = {"ino": 0, "size": 0, "mtime_ns": 0}
    to.good("good-numbers-all-zero", HEAD, entry(**zeros, prior=nothing), recorded(1))
    to.good("good-checksum", HEAD, entry(checksum="xxh3_128:" + "0123456789abcdef" * 2))
    to.good("good-two-entries-of-one-name", HEAD, entry(), entry(), recorded(2))


def verdicts(to: Vectors) -> None:
    """What the finalizer appends."""
    four = [entry(name=b"data.%d" % number) for number in range(4)]
    begun = [HEAD, *four, recorded(4), HANDLE, STARTED]
    reason = written("kein Platz für %".encode())
    to.good("good-verdict-each", *begun, verdict(0, "published"), verdict(1, "failed"))
    to.good("good-verdict-with-reason", *begun, verdict(2, "conflict", reason=reason))
    to.good("good-verdicts-in-a-run", *begun, verdict(0, "published", count=4))
    run = verdict(1, "failed", count=3, reason="gone")
    to.good("good-last-verdict-counts", *begun, run, verdict(2, "published"))
    again = [verdict(0, "published")] * 16
    to.good("good-verdicts-16-times-the-entries", HEAD, entry(), recorded(1), *again)
    to.good("good-verdict-without-a-start", HEAD, entry(), recorded(1), verdict(0, "failed"))
    to.good("good-longest-reason", *begun, verdict(0, "failed", reason="x" * 8192))


def tails(to: Vectors) -> None:
    """Torn tails: nothing whole behind the last whole line."""
    begun = [HEAD, entry(), recorded(1), HANDLE]
    last = line(STARTED)
    to.good("torn-half-a-line", *begun, tail=last[: len(last) // 2])
    to.good("torn-one-byte", *begun, tail=last[:1])
    to.good("torn-newline-missing", *begun, tail=last[:-1])
    to.good("torn-last-line-changed", *begun, tail=last.replace(b"started", b"startad"))
    to.good("torn-zeros", *begun, tail=bytes(4096))
    to.good("torn-zeros-longer-than-a-line", *begun, tail=bytes(LINE_MAX + 4464))
    to.good("torn-two-lines-changed", *begun, tail=last[:-9] + b"\n" + last[9:])
    to.good("torn-blank-line", *begun, tail=b"\n")
    to.good("torn-upper-case-checksum", *begun, tail=last[:8].upper() + last[8:])
    to.put("torn-first-line", line(HEAD)[:-20], None)
