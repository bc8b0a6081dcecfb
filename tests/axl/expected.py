"""How each recorded directory of AXL 0.9.0 has to end, written down before the code.

A sample is laid down as `state`, `src/` and `dst/`; `finalize --dir` is given the directory
and nothing else. The reasons are those of AXL's own behaviour: per-file STATUS lags behind,
so the temp file's size against SIZE is the evidence; a transfer without a vendor's handle
has nobody left who could write; a source may be gone and is never copied from.
"""

from typing import NamedTuple

_FIRST_S = 1614571506  # mtime of f0; f1 is a day younger, and so on
_DAY_S = 86_400


class Want(NamedTuple):
    """A published file: its metadata to the ns, and how its contents' SHA-256 begins."""

    size: int
    uid: int
    gid: int
    mode: int
    atime_ns: int
    mtime_ns: int
    sha256: str


class Sample(NamedTuple):
    """What `finalize --dir` makes of one sample, and says."""

    published: dict[bytes, Want]
    """Name below dst/ → what stands there afterwards."""
    untouched: frozenset[bytes]
    """Names below dst/ that are as they were laid down, contents and all."""
    set_aside: bool
    """Whether the state file is set aside (all is done); else it lies there, byte for byte."""
    sidecar: bool
    """Whether verdicts of ours are kept beside it."""
    exit_code: int
    verdicts: dict[str, int]
    """The report's count of files."""
    says: str
    """Words that the report has."""


def _numbered(*digests: str) -> dict[bytes, Want]:
    """f0 to f3 with the owners, modes and times that the recording gave them."""
    return {
        b"f%d" % k: Want(
            4096 + 100 * k,
            1000 + k,
            2000 + k,
            0o640 + k,
            (_FIRST_S + k * _DAY_S) * 10**9 + 123456780 + k,
            (_FIRST_S + k * _DAY_S) * 10**9 + 123456780 + k,
            digest,
        )
        for k, digest in enumerate(digests)
        if digest
    }


def _odd(size: int, atime_fraction: int, sha256: str) -> Want:
    second = 1795156948 * 10**9
    return Want(size, 0, 0, 0o644, second + atime_fraction, second + 88431931, sha256)


_NONE: frozenset[bytes] = frozenset()

SAMPLES: dict[str, Sample] = {
    # STATE CREATED, no FILE key: the process died after AXL_Create. Whether it meant to hand
    # anything over is not known, and nothing was: no file of this suite's own agent that was
    # killed while recording ends otherwise. The state file stays for a person.
    "01_created_empty": Sample({}, _NONE, False, False, 3, {}, "never dispatched"),
    # STATE CREATED with four files and no metadata, no temp file: killed before dispatch.
    # Nothing to publish; the sources, if they are there, hold the data.
    "02_created_added": Sample({}, _NONE, False, False, 3, {"failed": 4}, "never dispatched"),
    # Killed in the middle, every per-file STATUS still 1. Four temp files of full size: whole.
    # g_big._AXL has one copy buffer (33,554,432) of 37,748,736 bytes, TYPE pthread, no vendor:
    # nobody writes it any more, so it has failed, and its partial temp file is deleted.
    "04_pthread_killed_mid": Sample(
        _numbered("968f3409243587c1", "75fdb31dabf7d258", "810a066c449b5412", "c051a89a151081e7"),
        _NONE,
        False,
        True,
        3,
        {"published": 4, "failed": 1},
        "33554432 of 37748736 bytes",
    ),
    # All copied, AXL_Wait never called: publish. Owner, mode and ns times come from the record.
    "05_sync_done_not_waited": Sample(
        _numbered("765bdebf7decb9e7", "39a61aded27b30bb", "d7ab0341172cb8a8", "9f9358a698168ed9"),
        _NONE,
        True,
        False,
        0,
        {"published": 4},
        "",
    ),
    # COMPLETED and never freed: AXL has renamed all four. They are the recorded files but for
    # the fraction of a second in their times (an archive or Lustre drops it): it is restored.
    "07_completed_not_freed": Sample(
        _numbered("aa6f84e988fd4e29", "69f336951a3c15cd", "d9430d81c5904894", "c36b0fa6297a7068"),
        _NONE,
        True,
        False,
        0,
        {"published": 4},
        "",
    ),
    # COMPLETED with an error: AXL renames nothing if one file is short. The three whole ones
    # are published, f2 (100 of 4296 bytes) has failed and its partial temp file is deleted.
    "08_completed_error": Sample(
        _numbered("d8c90279a777128a", "c8e23e8406ca22f7", "", "e63e54f96943fad4"),
        _NONE,
        False,
        True,
        3,
        {"published": 3, "failed": 1},
        "100 of 4296 bytes",
    ),
    # CANCELED: AXL deletes nothing and says nothing of what had arrived. What is whole is
    # kept under its name (no byte is lost while one copy of it exists, and the source may be
    # gone) if nothing else stands there; the partial file is deleted. A person decides: 3.
    "09_canceled_pthread": Sample(
        _numbered("26165a694057c790", "68c0af7714b3dbac", "c8266cd82ed230b4", "14716c3c070a673e"),
        _NONE,
        False,
        True,
        3,
        {"published": 4, "failed": 1},
        "33554432 of 37748736 bytes",
    ),
    # The state file is cut at 700 of its 1774 bytes: mapping and metadata are not all there,
    # so nothing is guessed. One error that names the file; no file of it is touched.
    "11_state_torn": Sample(
        {},
        frozenset({b"f0._AXL", b"f1._AXL", b"f2._AXL", b"f3._AXL"}),
        False,
        False,
        65,
        {},
        "none of its files was touched",
    ),
    # A vendor's handle: IBM's burst buffer may still write, and may have given a temp file its
    # size before its bytes. Where no probe can be asked, nobody knows: all is kept, 75.
    "12_bbapi_inprog_done": Sample(
        {},
        frozenset(b"f%d._AXL22517998136852481" % k for k in range(4)),
        False,
        False,
        75,
        {"unknown": 4},
        "bbapi",
    ),
    # Dispatched without a file: there is nothing to do, and it is done.
    "17_zero_files": Sample({}, _NONE, True, False, 0, {}, ""),
    # The final name is what stands before the LAST ._AXL: x._AXL._AXL is a file x._AXL.
    "18_odd_names": Sample(
        {
            b"bad\xff\xfe": _odd(1, 88431931, "3f79bb7b435b0532"),
            b"nl\nx": _odd(1, 88431931, "2e7d2c03a9507ae2"),
            b"sp ace": _odd(1, 85499393, "ca978112ca1bbdca"),
            b"x._AXL": _odd(1, 88431931, "18ac3e7343f01689"),
            b"zero": _odd(0, 88431931, "e3b0c44298fc1c14"),
            "ünï".encode(): _odd(1, 88431931, "3e23e8160039594a"),
        },
        _NONE,
        True,
        False,
        0,
        {"published": 6},
        "",
    ),
}
