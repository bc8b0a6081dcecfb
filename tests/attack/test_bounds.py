"""Whatever stands in a file or comes over a socket: bounded memory, bounded time, one answer."""

import json
import os
import resource
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from poststage.copier import protocol
from poststage.durable import journal
from poststage.errors import StateFileError
from poststage.finalize import records
from poststage.statefile import read_state
from poststage.statefile.anyone import read_any
from tests.attack.levels import FULL

SIZE = (64 if FULL else 8) << 20  # bytes of input
MEMORY = (256 << 20) + 12 * SIZE  # bytes of address space beyond what is used already
CPU_S = 5 + SIZE // (2 << 20)

Reader = Callable[[Path, int], object]


def _state(path: Path, fd: int) -> object:
    return read_state(fd, os.fsencode(path))


def _any_state(path: Path, fd: int) -> object:
    return read_any(os.open(path.parent, os.O_RDONLY), fd, b"0.state", os.fsencode(path))


def _report(path: Path, fd: int) -> object:
    return records.read(path.parent, b"d")


def _request(path: Path, fd: int) -> object:
    return protocol.request_of(os.pread(fd, protocol.LINE_MAX, 0))


def _reply(path: Path, fd: int) -> object:
    return protocol.reply_of(os.pread(fd, protocol.LINE_MAX, 0))


READERS: tuple[Reader, ...] = (_state, _any_state, _report, _request, _reply)


def read(reader: Reader, path: Path) -> None:
    """Run `reader` over the file in a process that may use so much and no more."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _limited()
            code = _read(reader, path)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _limited() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))


def _read(reader: Reader, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        reader(path, fd)
    except (StateFileError, ValueError) as error:
        text = str(error)
        return int(not text.isprintable() or len(text) > 2000)
    return 0


def entry(number: int) -> bytes:
    return (
        b'{"record":"entry","kind":"file","source":"/a","destination":"/b%d","temp":"t",'
        b'"size":0,"uid":0,"gid":0,"mode":0,"atime_ns":0,"mtime_ns":0}' % number
    )


HEAD = (
    b'{"record":"transfer","version":1,"id":"0000000000000000","dataset":"d","part":0,"parts":1,'
    b'"backend":"emulator","created_ns":1}'
)


def _recorded(entries: int) -> Iterator[bytes]:
    yield from map(entry, range(entries))
    yield b'{"record":"event","event":"recorded","time_ns":0,"entries":%d}' % entries


def _entries() -> Iterator[bytes]:
    yield from map(entry, count())


def _wide_verdicts() -> Iterator[bytes]:
    entries = SIZE // 1000
    yield from _recorded(entries)
    for number in count():
        yield (
            b'{"record":"verdict","index":0,"verdict":"failed","time_ns":0,"count":%d,'
            b'"reason":"%d%s"}' % (entries, number, b"x" * 8000)
        )


def _verdicts_with_reasons() -> Iterator[bytes]:
    entries = SIZE // 1200
    yield from _recorded(entries)
    for number in range(entries):
        yield (
            b'{"record":"verdict","index":%d,"verdict":"failed","time_ns":0,"reason":"%d%s"}'
            % (number, number, b"x" * 900)
        )


def _handles() -> Iterator[bytes]:
    while True:
        yield b'{"record":"event","event":"handle","time_ns":0,"handle":"%s"}' % (b"x" * 3000)


def _objects() -> Iterator[bytes]:
    while True:
        yield b"{}"


RECORDS: tuple[Callable[[], Iterator[bytes]], ...] = (
    _entries,
    _wide_verdicts,
    _verdicts_with_reasons,
    _handles,
    _objects,
)


@pytest.mark.parametrize("lines", RECORDS, ids=lambda one: one.__name__.strip("_"))
def test_a_state_file_of_well_formed_lines_is_read_in_bounds(
    tmp_path: Path, lines: Callable[[], Iterator[bytes]]
) -> None:
    size = 0
    with open(tmp_path / "0.state", "wb") as file:
        size += file.write(journal.frame(HEAD))
        for record in lines():
            if size > SIZE:
                break
            size += file.write(journal.frame(record))
    read(_state, tmp_path / "0.state")


def _filled(pattern: bytes) -> bytes:
    return pattern * (SIZE // len(pattern))


def _kvtree(body: bytes) -> bytes:
    size = 20 + len(body) + 4
    whole = b"\x95\x1f\xc3\xf5\0\1\0\1" + size.to_bytes(8, "big") + b"\0\0\0\1" + body
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def _many_trees() -> bytes:
    """As many trees of one key as there is room for, each with a value."""
    pairs = SIZE // 24
    body = bytearray(pairs.to_bytes(4, "big"))
    for number in range(pairs):
        body += b"%x\0" % number + (1).to_bytes(4, "big") + b"v\0" + bytes(4)
    return _kvtree(bytes(body))


def _deep_tree() -> bytes:
    return _kvtree(((1).to_bytes(4, "big") + b"k\0") * (SIZE // 6) + bytes(4))


BYTES: dict[str, Callable[[], bytes]] = {
    "nothing but NUL": lambda: _filled(b"\0"),
    "nothing but newlines": lambda: _filled(b"\n"),
    "objects": lambda: _filled(b"{}\n"),
    "arrays": lambda: _filled(b"["),
    "nested": lambda: _filled(b'{"a":'),
    "a list of lists": lambda: b"[" + _filled(b"[],") + b"[]]",
    "a list of objects": lambda: b'{"report":[' + _filled(b'{"a":1},') + b"{}]}",
    "long integer": lambda: b'{"report":' + _filled(b"9") + b"}",
    "long string": lambda: b'{"report":"' + _filled(b"a") + b'"}',
    "escapes": lambda: b'{"report":"' + _filled(b"\\u202e") + b'"}',
    "many keys": lambda: (
        b'{"report":{"files":{' + b",".join(b'"%x":1' % n for n in range(SIZE // 12)) + b"}}}"
    ),
    "whole lines that say nothing": lambda: _filled(journal.frame(b"")),
    "lines that look whole": lambda: journal.frame(HEAD) + _filled(b"00000000 {}\n"),
    "a KVTree of many trees": _many_trees,
    "a KVTree that is deep": _deep_tree,
}


@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.__name__.strip("_"))
@pytest.mark.parametrize("content", BYTES)
def test_any_bytes_are_read_in_bounds(tmp_path: Path, reader: Reader, content: str) -> None:
    path = tmp_path / "d.report.json"
    path.write_bytes(BYTES[content]())
    read(reader, path)


def test_a_report_with_everything_in_it_is_read_in_bounds(tmp_path: Path) -> None:
    problem = {"part": 0, "verdict": "failed", "reason": "r" * 4000}
    report = {
        "dataset": "d",
        "directory": "d",
        "complete": True,
        "parts": 1,
        "parts_seen": 1,
        "problems": [problem] * (SIZE // 5000),
    }
    (tmp_path / "d.report.json").write_text(json.dumps({"report": report}))
    read(_report, tmp_path / "d.report.json")


def test_a_file_that_grows_with_each_line_that_is_read_has_an_end(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "0.state", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    journal.append(fd, journal.frame(b"line") * 3)
    read_lines = 0
    for read_lines, _ in enumerate(journal.payloads(fd, limit_bytes=SIZE), start=1):
        assert read_lines <= 3
        journal.append(fd, journal.frame(b"line"))
    assert read_lines == 3
    os.close(fd)
