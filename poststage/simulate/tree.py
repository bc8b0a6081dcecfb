"""A STATEDIR as a job leaves it when all its files have been moved: made, checked, taken away.

TOP/state/DATASET/PART.state    of RANKS parts
TOP/files/PART/                 its FILES temp files, and then their names
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from poststage import names
from poststage.durable import fsops, journal
from poststage.model import Entry, Head, Kind, Meta
from poststage.simulate.moved import NAME
from poststage.statefile import StateWriter, layout

DATASET = "ts.0"
MODE = 0o640
MTIME_NS = 1_600_000_000_123_456_789
_LEFT_MODE = 0o600  # of the temp files, so that there is something to restore
_STATE, _FILES = b"state", b"dst"


class Shape(Struct, frozen=True):
    """How large a job."""

    ranks: int
    """Each has its state file and its directory of files."""
    files: int
    """Of each rank."""
    size: int = 4096
    """Of each file, in bytes."""


def state_dir(top: Path) -> Path:
    """Where `lay` puts the STATEDIR."""
    return top / os.fsdecode(_STATE)


def lay(top: Path, shape: Shape, *, seen: Path | None = None) -> None:
    """Make the tree of `shape` in the empty directory `top`, durable as a backend leaves it.

    `seen` is the path under which the finalizer will see `top`, where that is another.

    Raises:
        OSError: something cannot be made; what was made is there for `take_away`.
    """
    with _opened(os.fsencode(top)) as top_fd:
        with (
            _made(top_fd, _STATE) as state,
            _made(state, _dataset()) as parts,
            _made(top_fd, _FILES) as files,
        ):
            for place in layout.places(shape.ranks):
                fsops.make_dir(parts, place, 0o700)
            for rank in range(shape.ranks):
                with _made(files, b"%d" % rank) as directory:
                    _one(parts, directory, os.fsencode(seen or top), rank, shape)
        _settle(top_fd)


def wrong(top: Path, shape: Shape) -> str:
    """What is not as a finalizer leaves it; "" if every file and state file has its name."""
    with _opened(os.path.join(os.fsencode(top), _FILES)) as files:
        for rank in range(shape.ranks):
            with _opened(b"%d" % rank, dir_fd=files) as directory:
                for index in range(shape.files):
                    fact = _wrong_file(directory, rank, index, shape)
                    if fact:
                        return f"file {index} of rank {rank}: {fact}"
    with _opened(os.path.join(os.fsencode(top), _STATE, _dataset())) as parts:
        for rank in range(shape.ranks):
            if fsops.facts(parts, layout.done_name(layout.state_path(rank, shape.ranks))) is None:
                return f"the state file of rank {rank} is not done"
    return ""


def take_away(top: Path, shape: Shape) -> None:
    """Remove what `lay` and a finalizer make below `top`, name by name, and nothing else.

    Raises:
        OSError: something else is in the way (ENOTEMPTY); it is left as it is.
    """
    with _opened(os.fsencode(top)) as top_fd:
        with _below(top_fd, _FILES) as files:
            for rank in range(shape.ranks):
                _remove(files, b"%d" % rank, _names(rank, shape))
        with _below(top_fd, _STATE) as state:
            _remove(state, _dataset(), _records(shape), layout.places(shape.ranks))
        _remove(top_fd, _FILES, ())
        _remove(top_fd, _STATE, (layout.LOCK_NAME, layout.report_name(_dataset())))


def _one(parts: int, directory: int, top: bytes, rank: int, shape: Shape) -> None:
    """The state file of `rank`, and its temp files in the open `directory`."""
    identity, where = f"{rank:016x}", os.path.join(top, _FILES, b"%d" % rank)
    head = Head(identity, DATASET, rank, shape.ranks, NAME, MTIME_NS)
    writer = StateWriter.create(parts, layout.state_path(rank, shape.ranks), head)
    meta = Meta(shape.size, os.geteuid(), os.getegid(), MODE, 1, MTIME_NS + rank)
    content = b"x" * shape.size
    for name, temp in _pairs(rank, shape):
        fd = fsops.create(directory, temp, mode=_LEFT_MODE)
        journal.append(fd, content)
        os.close(fd)
        source = b"/burst-buffer/%d/%s" % (rank, name)
        writer.add(Entry(Kind.FILE, source, os.path.join(where, name), temp, meta))
    writer.recorded()
    writer.handle(identity)
    writer.started()
    writer.flush()
    writer.close()


def _pairs(rank: int, shape: Shape) -> Iterator[tuple[bytes, bytes]]:
    """(name, temp name) of each file of `rank`."""
    for index in range(shape.files):
        name = b"f%d" % index
        yield name, names.temp_name(name, f"{rank:016x}", index)


def _names(rank: int, shape: Shape) -> Iterator[bytes]:
    for pair in _pairs(rank, shape):
        yield from pair


def _records(shape: Shape) -> Iterator[bytes]:
    for rank in range(shape.ranks):
        path = layout.state_path(rank, shape.ranks)
        yield from (path, layout.done_name(path))


def _wrong_file(directory: int, rank: int, index: int, shape: Shape) -> str:
    info = fsops.facts(directory, b"f%d" % index)
    if info is None:
        return "has no name"
    seen = (info.st_mode & 0o7777, info.st_mtime_ns, info.st_size)
    return "" if seen == (MODE, MTIME_NS + rank, shape.size) else f"has {seen}"


def _dataset() -> bytes:
    return layout.dataset_dir_name(DATASET)


@contextmanager
def _opened(path: bytes, *, dir_fd: int | None = None) -> Iterator[int]:
    fd = fsops.open_dir(path, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _made(dir_fd: int, name: bytes) -> Iterator[int]:
    fsops.make_dir(dir_fd, name, 0o700)
    with _opened(name, dir_fd=dir_fd) as fd:
        yield fd


@contextmanager
def _below(dir_fd: int, name: bytes) -> Iterator[int]:
    """`name` open, or a descriptor of nothing: removing from it finds nothing to remove."""
    try:
        fd = fsops.open_subdir(dir_fd, name)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _remove(
    dir_fd: int, name: bytes, inside: Iterable[bytes], places: Iterable[bytes] = ()
) -> None:
    """Remove the names `inside` the directory `name`, the directories `places` in it, and it."""
    if dir_fd < 0:
        return
    with _below(dir_fd, name) as fd:
        if fd < 0:
            return
        for one in inside:
            with suppress(FileNotFoundError):
                fsops.unlink(fd, one)
        for place in places:
            with suppress(FileNotFoundError):
                fsops.remove_dir(fd, place)
    fsops.remove_dir(dir_fd, name)


def _settle(fd: int) -> None:
    """Write all of it out, as a backend has when it says that it is done."""
    try:
        fsops.sync_filesystem(fd)
    except OSError:  # not known to reach this disk
        os.sync()
