"""Make a STATEDIR, finalize it, time that, and take it away; project to what was not made."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from poststage.config import Settings
from poststage.durable import fsops
from poststage.errors import PermissionRefusedError, PoststageError, RunAgainError, UsageError
from poststage.finalize.options import Options
from poststage.finalize.privs import owner_of
from poststage.finalize.reason import reason
from poststage.finalize.worker import finalize_as
from poststage.names import shown
from poststage.simulate import latency, tree
from poststage.simulate.moved import NAME
from poststage.simulate.tree import Shape

_FEWEST = 4  # times smaller is the second sample, which tells what does not grow
_GREW = 1.5  # times as long as the smaller one, else noise is most of what the two differ by


class Measured(Struct, frozen=True):
    """One run over a STATEDIR that was really there."""

    ranks: int
    files: int
    """Of all ranks together."""
    seconds: float
    """From the fork of the finalizer's worker to its report; the program's start is not in it."""


class Projection(Struct, frozen=True):
    """What was measured, and the time for the numbers that were asked for."""

    ranks: int
    files: int
    seconds: float
    measured: tuple[Measured, ...]
    basis: str
    """`measured`, a `line` through both sizes, or in `proportion` to the larger."""

    @property
    def is_measured(self) -> bool:
        """Whether nothing was extrapolated."""
        return self.basis == "measured"


def simulated(settings: Settings) -> Settings:
    """`settings` of a site that allows the backend of simulated transfers, and no other."""
    return replace(settings, backend=NAME, allowed_backends=(NAME,))


def simulate(
    where: Path, shape: Shape, options: Options, *, sample: int, latency_s: float = 0.0
) -> Projection:
    """Time `finalize` for `shape` on the file system of the directory `where`.

    No more than `sample` ranks are made (0: all). With fewer than `shape` has, two sizes are
    measured and a straight line through them gives the time: it grows with the state files.
    `latency_s` is played for each call of the file system.

    Raises:
        UsageError: `where` is no directory.
        RunAgainError: the simulated files were not all published, or could not be made, or
            would fill the file system.
    """
    ranks = min(shape.ranks, sample or shape.ranks)
    smaller = [max(1, ranks // _FEWEST)] if 1 < ranks < shape.ranks else []
    measured = tuple(
        _measured(where, replace(shape, ranks=size), options, latency_s)
        for size in [*smaller, ranks]
    )
    seconds, files = projected(measured, shape.ranks), shape.ranks * shape.files
    return Projection(shape.ranks, files, seconds, measured, _basis(measured, shape.ranks))


def projected(measured: tuple[Measured, ...], ranks: int) -> float:
    """Seconds for `ranks`, by a straight line through the first and the last of `measured`.

    In proportion to the last where both took nearly as long: a line through noise would give
    a million ranks no time at all, and this errs on the side of too much.
    """
    first, last = measured[0], measured[-1]
    if _basis(measured, ranks) != "line":
        return last.seconds * ranks / last.ranks
    slope = (last.seconds - first.seconds) / (last.ranks - first.ranks)
    return last.seconds + slope * (ranks - last.ranks)


def _basis(measured: tuple[Measured, ...], ranks: int) -> str:
    first, last = measured[0], measured[-1]
    if last.ranks == ranks:
        return "measured"
    return "line" if last.seconds >= _GREW * first.seconds and first is not last else "proportion"


def _measured(where: Path, shape: Shape, options: Options, latency_s: float) -> Measured:
    with _place(where, shape) as top:
        state_dir = tree.state_dir(top)
        whom = partial(owner_of, os.fsencode(state_dir), None, options.settings.trusted_state_dirs)
        with latency.played(latency_s):
            start = time.monotonic()
            report = finalize_as(whom, state_dir, options)
            seconds = time.monotonic() - start
        fact = tree.wrong(top, shape)
        if fact:
            raise RunAgainError(
                f"{shown(os.fsencode(top))}: {fact} after {seconds:.1f} s of the "
                f"{options.deadline_s:g} s that it had; no time is told, and what was made is gone",
                hint=f"finalize says: {reason([report])}",
            )
    return Measured(shape.ranks, shape.ranks * shape.files, seconds)


@contextmanager
def _place(where: Path, shape: Shape) -> Iterator[Path]:
    """A directory of its own in `where` with the tree of `shape`; gone after the block."""
    name = f"poststage-simulate-{secrets.token_hex(4)}"
    top = where.absolute() / name
    with _explained(where):
        dir_fd = fsops.open_dir(os.fsencode(where))
    try:
        _check_room(dir_fd, where, shape)
        with _explained(where):
            if not fsops.make_dir(dir_fd, os.fsencode(name), 0o700):
                raise FileExistsError(0, "exists already", str(top))
        try:
            with _explained(top):
                tree.lay(top, shape)
            yield top
        finally:
            with _explained(top):
                tree.take_away(top, shape)
                fsops.remove_dir(dir_fd, os.fsencode(name))
    finally:
        os.close(dir_fd)


def _check_room(fd: int, where: Path, shape: Shape) -> None:
    """Others write there too: a simulation takes no more than half of what is free."""
    info = os.fstatvfs(fd)
    files, free = shape.ranks * shape.files, info.f_bavail * info.f_frsize
    needed = files * -(-shape.size // info.f_frsize) * info.f_frsize
    if needed > free // 2:
        fact = f"{files:,} files of {shape.size:,} bytes are more than half of the {free:,} free"
    elif info.f_files and files + shape.ranks > info.f_favail // 2:
        fact = f"{files:,} files are more than half of the {info.f_favail:,} that it has room for"
    else:
        return
    raise RunAgainError(
        f"{shown(os.fsencode(where))}: {fact}; nothing was made",
        hint="lower --sample, --files or --size; finalize does not read them, --size 0 will do",
    )


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _meaning(error)(
            f"{shown(os.fsencode(place))}: {error.strerror}; nothing else was touched",
            hint="name a directory of the file system in question, with room for the files",
        ) from error


def _meaning(error: OSError) -> type[PoststageError]:
    if isinstance(error, PermissionError):
        return PermissionRefusedError
    return (
        UsageError if isinstance(error, (FileNotFoundError, NotADirectoryError)) else RunAgainError
    )
