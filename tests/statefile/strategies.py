"""Transfers out of thin air, and files in memory to read them from."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st
from msgspec import Struct

from poststage.model import Ended, Entry, Head, Identity, Kind, Meta, Verdict
from poststage.statefile import StateWriter

components = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.replace(b"\0", b"x").replace(b"/", b"y"))
    .filter(lambda name: name not in {b".", b".."})
)
texts = st.binary(min_size=1, max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
times = st.integers(-(2**63), 2**63 - 1)
sizes = st.integers(0, 2**63 - 1)
paths = st.lists(components, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
ids = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")
owners = st.integers(0, 2**32 - 2)
metas = st.builds(Meta, sizes, owners, owners, st.integers(0, 0o7777), times, times)
identities = st.builds(Identity, st.integers(0, 2**64 - 1), sizes, times)
checksums = st.integers(0, 2**128 - 1).map(lambda number: f"xxh3_128:{number:032x}")
ends = st.builds(
    Ended,
    st.sampled_from([Verdict.PUBLISHED, Verdict.FAILED, Verdict.CONFLICT]),
    st.just("") | texts,
)


class Story(Struct, frozen=True):
    """What an agent and a finalizer do to one state file, in their order."""

    head: Head
    entries: tuple[Entry, ...]
    steps: int
    """How far it went: 0 entries, 1 recorded, 2 handle, 3 started, 4 cancelled, 5 verdicts."""
    handle: str
    ended: dict[int, Ended]


@st.composite
def heads(draw: st.DrawFn) -> Head:
    parts = draw(st.integers(1, 2**31 - 1))
    return Head(
        id=draw(ids),
        dataset=draw(texts),
        part=draw(st.integers(0, parts - 1)),
        parts=parts,
        backend=draw(texts),
        created_ns=draw(times),
        host=draw(st.just("") | texts),
        job=draw(st.just("") | texts),
        pid=draw(st.integers(0, 2**31 - 1)),
        move=draw(st.booleans()),
        ends_with_job=draw(st.booleans()),
    )


@st.composite
def entries(draw: st.DrawFn, before: tuple[Entry, ...]) -> Entry:
    files = [index for index, entry in enumerate(before) if entry.kind is Kind.FILE]
    kinds = list(Kind) if files else [kind for kind in Kind if kind is not Kind.LINK]
    kind, destination = draw(st.sampled_from(kinds)), draw(paths)
    last = destination.rpartition(b"/")[2]
    temps = components.filter(lambda name: name != last)
    target = components if kind is Kind.SYMLINK else st.none()
    return Entry(
        kind,
        draw(paths),
        destination,
        b"" if kind is Kind.DIRECTORY else draw(temps),
        draw(metas),
        draw(st.none() | identities),
        draw(st.none() | checksums) if kind is Kind.FILE else None,
        draw(target),
        draw(st.sampled_from(files)) if kind is Kind.LINK else None,
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    made: tuple[Entry, ...] = ()
    for _ in range(draw(st.integers(0, 4))):
        made += (draw(entries(made)),)
    indices = st.integers(0, len(made) - 1) if made else st.nothing()
    ended = draw(st.dictionaries(indices, ends, max_size=len(made)))
    return Story(draw(heads()), made, draw(st.integers(0, 5)), draw(texts), ended)


def write(story: Story) -> bytes:
    """The state file that the package's writer makes of `story`."""
    with tempfile.TemporaryDirectory() as directory:
        dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            writer = StateWriter.create(dir_fd, b"0.state", story.head)
        finally:
            os.close(dir_fd)
        _tell(writer, story)
        writer.flush()
        writer.close()
        return Path(directory, "0.state").read_bytes()


def _tell(writer: StateWriter, story: Story) -> None:
    for entry in story.entries:
        writer.add(entry)
    doings = (
        writer.recorded,
        lambda: writer.handle(story.handle),
        writer.started,
        writer.cancelled,
        lambda: writer.verdicts(story.ended),
    )
    for doing in doings[: story.steps]:
        doing()


@contextmanager
def memory(content: bytes = b"") -> Iterator[int]:
    """A regular file in memory, open for reading and appending."""
    fd = os.memfd_create("state")
    try:
        os.write(fd, content)
        yield fd
    finally:
        os.close(fd)
