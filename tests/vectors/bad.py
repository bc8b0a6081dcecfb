"""Vectors of damaged files: every rule broken once."""

import json

from tests.vectors.words import (
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
)


def damage(to: Vectors) -> None:
    """Damage that is no torn tail."""
    whole = [line(HEAD), line(entry()), line(recorded(1)), line(HANDLE)]
    changed = whole[1].replace(b'"size":12', b'"size":13')
    cut = whole[1][:40] + b"\n"
    at_two = {
        "bit-changed": (changed, "checksum mismatch"),
        "line-cut-short": (cut, "checksum mismatch"),
        "blank-line": (b"\n" + whole[1], "a blank line"),
        "carriage-return": (whole[1][:-1] + b"\r\n", "the line ends in CR LF"),
        "checksum-in-upper-case": (whole[1][:8].upper() + whole[1][8:], "upper-case digits"),
        "no-space": (whole[1][:8] + whole[1][9:], "no space behind the checksum"),
        "zeros-between": (bytes(64) + whole[1], "zeros before a whole line"),
        "line-too-long": (line(b"x" * LINE_MAX), "longer than 65536 bytes"),
    }
    for name, (second, why) in at_two.items():
        to.damaged(f"bad-{name}", why, whole[0] + second + whole[2] + whole[3], 2)
    mark = b"\xef\xbb\xbf"
    to.damaged("bad-byte-order-mark", "bytes before the checksum", mark + b"".join(whole), 1)
    to.damaged("bad-first-line-lost", "an entry before the head", b"".join(whole[1:]), 1)
    text = b"a file of another kind\n" * 3000
    short = b"127.0.0.1 localhost\n::1 localhost\n"
    to.damaged("bad-foreign-text", "lines, and none of them whole", short, 1)
    to.damaged("bad-long-foreign-text", "no whole line in 65536 bytes or more", text, 1)
    nested = b"[" * 60_000
    for name, payload in {
        "empty-record": b"",
        "not-json": b"hello",
        "array": b"[]",
        "number": b"17",
        "two-values": json.dumps(STARTED, separators=(",", ":")).encode() + b"{}",
        "nested-arrays": nested,
        "nested-objects": b'{"a":' * 12_000,
        "invalid-utf-8": b'{"record":"\xff"}',
    }.items():
        to.bad(f"bad-{name}", "is no record", HEAD, payload)


def order(to: Vectors) -> None:
    """Records where they cannot stand."""
    to.bad("bad-second-head", "a head stands first and once", HEAD, HEAD)
    to.bad("bad-event-first", "the head stands first", STARTED)
    to.bad("bad-entry-after-recorded", "all entries were there", HEAD, recorded(0), entry())
    to.bad("bad-verdict-before-recorded", "too early", HEAD, entry(), verdict(0, "failed"))
    to.bad("bad-started-before-recorded", "too early", HEAD, entry(), HANDLE, STARTED)
    to.bad("bad-recorded-twice", "recorded once", HEAD, recorded(0), recorded(0))
    to.bad("bad-recorded-too-few", "two are there", HEAD, entry(), entry(), recorded(1))
    to.bad("bad-recorded-too-many", "one is there", HEAD, entry(), recorded(2))
    begun = (HEAD, entry(), recorded(1))
    to.bad("bad-verdict-of-nobody", "no such entry", *begun, verdict(1, "failed"))
    to.bad("bad-verdict-run-too-long", "no such entry", *begun, verdict(0, "failed", count=2))
    to.bad("bad-verdict-run-of-none", "count is at least 1", *begun, verdict(0, "failed", count=0))
    to.bad("bad-verdict-count-default", "1 is left out", *begun, verdict(0, "failed", count=1))
    often = [verdict(0, "failed")] * 17
    to.bad("bad-verdicts-17-times-the-entries", "at most 16 times", *begun, *often)
    to.bad("bad-verdict-not-final", "not recorded", *begun, verdict(0, "running"))
    to.bad("bad-verdict-negative", "below 0", *begun, verdict(-1, "failed"))
    to.bad("bad-reason-too-long", "8192", *begun, verdict(0, "failed", reason="x" * 8193))
    to.bad("bad-verdict-newline", "no such word", *begun, verdict(0, "failed\n"))


def heads(to: Vectors) -> None:
    """First lines that are none."""
    changes: dict[str, Json] = {
        "version-2": {"version": 2},
        "version-text": {"version": "1"},
        "id-short": {"id": "00c0ffee"},
        "id-upper-case": {"id": "00C0FFEE00C0FFEE"},
        "id-newline": {"id": "00c0ffee00c0ffee\n"},
        "part-beyond-parts": {"part": 1},
        "parts-none": {"parts": 0},
        "part-negative": {"part": -1},
        "parts-too-many": {"parts": 2**31},
        "dataset-empty": {"dataset": ""},
        "backend-empty": {"backend": ""},
        "dataset-not-written-form": {"dataset": "größe"},
        "unknown-field": {"colour": "red"},
        "host-default": {"host": ""},
        "pid-default": {"pid": 0},
        "pid-null": {"pid": None},
        "move-default": {"move": False},
        "move-number": {"move": 1},
        "created-too-large": {"created_ns": S63},
    }
    for name, change in changes.items():
        to.bad(f"bad-head-{name}", name.replace("-", " "), HEAD | change)
    without = {key: field for key, field in HEAD.items() if key != "dataset"}
    to.bad("bad-head-missing-field", "no dataset", without)
    to.bad("bad-head-order", "the order of fields", dict(sorted(HEAD.items())))
    to.bad("bad-record-unknown", "no such record", HEAD, {"record": "note"})
    to.bad("bad-record-missing", "no kind of record", HEAD, {"event": "started", "time_ns": 1})


def events(to: Vectors) -> None:
    """Events that are none."""
    begun = (HEAD, entry(), recorded(1))
    for name, event in {
        "unknown": STARTED | {"event": "paused"},
        "newline": STARTED | {"event": "started\n"},
        "recorded-without-entries": {"record": "event", "event": "recorded", "time_ns": 3},
        "handle-without-handle": {"record": "event", "event": "handle", "time_ns": 3},
        "handle-empty": HANDLE | {"handle": ""},
        "handle-too-long": HANDLE | {"handle": "x" * 3073},
        "handle-not-written-form": HANDLE | {"handle": "a\tb"},
        "handle-number": HANDLE | {"handle": 17},
        "started-with-handle": STARTED | {"handle": "17"},
        "started-with-entries": STARTED | {"entries": 1},
        "without-time": {"record": "event", "event": "started"},
    }.items():
        to.bad(f"bad-event-{name}", name.replace("-", " "), *begun, event)


def entries(to: Vectors) -> None:
    """Entries that are none."""
    sum_ = "xxh3_128:" + "0" * 32
    for name, one in {
        "kind": entry("fifo"),
        "kind-newline": entry("file\n"),
        "source-relative": entry(source="bb/data"),
        "source-empty": entry(source=""),
        "source-nul": entry(source="/bb/a%00b"),
        "destination-relative": entry(destination="lustre/data"),
        "destination-root": entry(destination="/"),
        "destination-dot-dot": entry(destination="/lustre/../etc/passwd"),
        "destination-dot": entry(destination="/lustre/./data"),
        "destination-two-slashes": entry(destination="/lustre//data"),
        "destination-last-slash": entry(destination="/lustre/data/"),
        "destination-nul": entry(destination="/lustre/a%00b"),
        "destination-name-too-long": entry(destination="/" + "x" * 256),
        "destination-path-too-long": entry(destination="/" + "/".join(["x" * 255] * 16)),
        "temp-is-destination": entry(temp="data.0"),
        "temp-elsewhere": entry(temp="../.data.0"),
        "temp-path": entry(temp="a/b"),
        "temp-dot-dot": entry(temp=".."),
        "temp-empty": entry(temp=""),
        "temp-too-long": entry(temp="x" * 256),
        "directory-with-temp": entry("directory", b"d", temp=".d.poststage"),
        "symlink-without-target": entry("symlink"),
        "symlink-target-empty": entry("symlink", target=""),
        "symlink-target-nul": entry("symlink", target="a%00"),
        "symlink-target-too-long": entry("symlink", target="x" * 4096),
        "file-with-target": entry(target="x"),
        "link-without-link-to": entry("link"),
        "file-with-link-to": entry(link_to=0),
        "link-to-itself": entry("link", link_to=1),
        "link-to-a-later-one": entry("link", link_to=2),
        "checksum-short": entry(checksum="xxh3_128:0"),
        "checksum-other-kind": entry(checksum="sha256:" + "0" * 64),
        "checksum-of-a-symlink": entry("symlink", target="x", checksum=sum_),
        "size-negative": entry(size=-1),
        "size-too-large": entry(size=S63),
        "size-text": entry(size="12"),
        "size-true": entry(size=True),
        "uid-too-large": entry(uid=U32 - 1),
        "gid-negative": entry(gid=-1),
        "mode-too-large": entry(mode=0o10000),
        "mtime-too-large": entry(mtime_ns=S63),
        "mtime-too-small": entry(mtime_ns=-S63 - 1),
        "prior-ino-too-large": entry(prior={"ino": U64, "size": 0, "mtime_ns": 0}),
        "prior-ino-negative": entry(prior={"ino": -1, "size": 0, "mtime_ns": 0}),
        "prior-without-size": entry(prior={"ino": 1, "mtime_ns": 0}),
        "prior-unknown-field": entry(prior={"ino": 1, "size": 0, "mtime_ns": 0, "dev": 1}),
        "name-lower-case-escape": entry(source="/bb/%c3"),
        "name-needless-escape": entry(source="/bb/%41"),
        "name-half-escape": entry(source="/bb/%4"),
        "name-not-ascii": entry(source="/bb/ö"),
        "name-control": entry(source="/bb/\x7f"),
        "missing-field": entry(uid=None),
    }.items():
        to.bad(f"bad-entry-{name}", name.replace("-", " "), HEAD, entry(), one)
    soft = entry("symlink", target="x")
    to.bad("bad-entry-link-to-a-symlink", "no file", HEAD, soft, entry("link", link_to=0))
    link = entry("link", link_to=0)
    to.bad("bad-entry-link-to-a-link", "no file", HEAD, entry(), link, entry("link", link_to=1))
    to.bad("bad-entry-first-links-to-itself", "no file before it", HEAD, link)


def spellings(to: Vectors) -> None:
    """The same value in other words: exactly one way of writing it is taken."""
    plain = json.dumps(entry(), separators=(",", ":"))
    for name, text in {
        "white-space": plain.replace(",", ", "),
        "space-at-the-end": plain + " ",
        "duplicate-key": plain.replace('"size":12', '"size":11,"size":12'),
        "duplicate-key-same": plain.replace('"size":12', '"size":12,"size":12'),
        "null": plain[:-1] + ',"prior":null}',
        "float": plain.replace('"size":12', '"size":12.0'),
        "exponent": plain.replace('"size":12', '"size":12e0'),
        "minus-zero": plain.replace('"size":12', '"size":-0'),
        "leading-zero": plain.replace('"size":12', '"size":012'),
        "plus": plain.replace('"size":12', '"size":+12'),
        "nan": plain.replace('"size":12', '"size":NaN'),
        "infinity": plain.replace('"size":12', '"size":-Infinity'),
        "5000-digits": plain.replace('"size":12', '"size":' + "1" * 5000),
        "5000-digits-inode": plain[:-1] + ',"prior":{"ino":' + "9" * 5000 + ',"size":0}}',
        "escaped-letter": plain.replace('"file"', '"\\u0066ile"'),
        "escaped-slash": plain.replace('"/bb/', '"\\/bb\\/'),
        "key-order": plain.replace('"uid":1000,"gid":100', '"gid":100,"uid":1000'),
        "tag-last": plain.replace('"record":"entry",', "")[:-1] + ',"record":"entry"}',
        "comma-at-the-end": plain[:-1] + ",}",
        "single-quotes": plain.replace('"', "'"),
    }.items():
        assert text != plain, name
        to.bad(f"bad-spelling-{name}", "not the canonical form", HEAD, entry(), text.encode())
