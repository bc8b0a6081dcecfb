"""Any bytes give a value, None or one clear error; what was written is what is read."""

import json
import os
import resource
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poststage.durable.journal import LINE_MAX
from poststage.errors import StateFileError
from poststage.model import State
from poststage.statefile import read_state
from poststage.statefile.reader import STATE_FILE_MAX
from poststage.statefile.value import value_of
from tests.statefile.strategies import Story, memory, stories, write
from tests.vectors import make
from tests.vectors.words import HEAD, entry, line, lines, recorded, verdict

GOOD = {
    name: content
    for name, (content, expected) in make.vectors().items()
    if name.startswith("good-") and len(content) < 4000
}


def read(content: bytes) -> State | None:
    """What the reader makes of `content`."""
    with memory(content) as fd:
        return read_state(fd, b"x.state")


def reading(content: bytes) -> object:
    """The value as JSON, None, or the error's message; nothing else may come out."""
    try:
        state = read(content)
    except StateFileError as error:
        return clear(error.message)
    return None if state is None else json.loads(json.dumps(value_of(state)))


def clear(message: str) -> str:
    """`message`, which names file and line and fits a terminal."""
    assert message.startswith("x.state: line ")
    assert message.isprintable()
    return message


@given(st.binary(max_size=3000))
@example(b"\0" * LINE_MAX)
@example(b"\n" * 1000)
def test_any_bytes_give_a_value_none_or_one_clear_error(content: bytes) -> None:
    reading(content)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_payloads_behind_right_checksums_give_a_value_none_or_one_clear_error(
    payloads: list[bytes],
) -> None:
    framed = [line(payload.replace(b"\n", b" ")) for payload in payloads if payload]
    reading(b"".join(framed))
    reading(line(HEAD) + b"".join(framed))


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(
    st.sampled_from([HEAD, entry(), recorded(1), verdict(0, "failed")]),
    st.data(),
    _JSON,
)
def test_a_record_with_any_value_in_any_field_gives_a_value_or_one_clear_error(
    record: dict[str, object], data: st.DataObject, value: object
) -> None:
    field = data.draw(st.sampled_from(sorted(record)))
    changed = json.dumps({**record, field: value}, separators=(",", ":")).encode()
    reading(lines(HEAD, entry(), recorded(1)) + line(changed))
    reading(lines(HEAD) + line(changed))
    reading(line(changed))


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_good_file_with_bytes_changed_never_gives_a_wrong_value(
    name: str, data: st.DataObject
) -> None:
    content = bytearray(GOOD[name] or b"\0")
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    found = reading(bytes(content))
    assert isinstance(found, str) or found in prefixes(GOOD[name])


@given(st.sampled_from(sorted(GOOD)), st.data(), st.binary(max_size=40))
def test_a_good_file_with_a_piece_replaced_gives_a_value_or_one_clear_error(
    name: str, data: st.DataObject, piece: bytes
) -> None:
    content = GOOD[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    reading(content[:start] + piece + content[end:])


def prefixes(content: bytes) -> list[object]:
    """What the file said after each of its lines, read as whole and as torn."""
    whole = content.splitlines(keepends=True)
    found: list[object] = [None]
    for count in range(1, len(whole) + 1):
        value = reading(b"".join(whole[:count]))
        assert isinstance(value, dict)
        found += [value, {**value, "torn": True}]
    return found


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_file_cut_at_any_byte_says_what_its_whole_lines_say(name: str) -> None:
    content = GOOD[name]
    ends = [at + 1 for at, byte in enumerate(content) if byte == 0x0A]
    for size in range(len(content)):
        whole = max((end for end in ends if end <= size), default=0)
        expected = reading(content[:whole])
        if isinstance(expected, dict) and size > whole:
            expected = {**expected, "torn": True}
        assert reading(content[:size]) == expected


@given(stories())
def test_what_the_writer_wrote_is_what_the_reader_reads(story: Story) -> None:
    state = read(write(story))
    assert state is not None
    assert (state.head, state.entries, state.torn) == (story.head, story.entries, False)
    assert state.recorded is (story.steps >= 1)
    assert state.handle == (story.handle if story.steps >= 2 else None)
    assert state.started is (story.steps >= 3)
    assert state.cancelled is (story.steps >= 4)
    assert state.ended == (story.ended if story.steps >= 5 else {})


@given(stories(), st.data())
def test_a_written_file_cut_anywhere_is_never_an_error(story: Story, data: st.DataObject) -> None:
    content = write(story)
    cut = data.draw(st.integers(0, len(content)))
    assert not isinstance(reading(content[:cut]), str)


def test_whole_bytes_is_where_an_append_begins() -> None:
    content = lines(HEAD, entry())
    state = read(content + b"torn")
    assert state is not None
    assert state.whole_bytes == len(content)


@pytest.mark.parametrize("size", [STATE_FILE_MAX + 1, 1 << 50])
def test_a_file_that_is_too_long_is_an_error_before_it_is_read_whole(size: int) -> None:
    with memory(lines(HEAD, recorded(0))) as fd:
        os.ftruncate(fd, size)
        with pytest.raises(StateFileError, match="longer than"):
            read_state(fd, b"x.state")


def test_what_is_no_regular_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(StateFileError, match="is not a regular file"):
            read_state(fd, bytes(path))
        os.close(fd)


def test_a_message_never_carries_what_could_steer_a_terminal() -> None:
    for text in ("\x1b[31m", "\u202e", "\n"):
        payload = json.dumps({"record": text, text: 1}, separators=(",", ":"), ensure_ascii=False)
        message = reading(line(HEAD) + line(payload.encode().replace(b"\n", b"")))
        assert isinstance(message, str)
        assert message.isprintable()
        assert len(message) < 1000


def many_verdicts() -> bytes:
    """Runs of verdicts, each over all entries, as many as are taken, and one more."""
    run = verdict(0, "failed", count=2000)
    return lines(HEAD, *[entry()] * 2000, recorded(2000), *[run] * 40_000)


@pytest.mark.parametrize(
    "content",
    [
        line(HEAD) + line(b'{"a":' + b"{}," * 20_000 + b"}") * 400,
        line(HEAD) + line(b"[" * 65_000) * 350,
        line(HEAD) + b"00000000 \n" * 2_000_000,
        line(HEAD) + b"x" * 24_000_000,
        line(HEAD) + b"\n" * 24_000_000,
        many_verdicts(),
    ],
    ids=["objects", "nesting", "empty-records", "one-line", "blank-lines", "verdicts"],
)
def test_hostile_megabytes_end_soon_and_small(content: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    reading(content)
    assert time.process_time() - started < 20  # a quadratic reader takes hours
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kB; `content` itself is in memory twice
