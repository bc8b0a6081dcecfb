"""Walking a STATEDIR: which state files there are, by the directory they lie in."""

import errno
import os
from collections.abc import Iterator

from msgspec import Struct

from poststage.durable import fsops
from poststage.finalize.dirs import is_roots_alone
from poststage.statefile.anyone import is_foreign
from poststage.statefile.layout import DONE_SUFFIX, REPORT_SUFFIX, STATE_SUFFIX, is_place

_DEPTH_MAX = 16  # directories below STATEDIR; an agent makes one
_TOO_DEEP = f"has directories deeper than {_DEPTH_MAX} below STATEDIR; they were not looked into"
_NOT_ROOTS = "others than root can write it; root did not look into it"
_OURS = (STATE_SUFFIX, DONE_SUFFIX, REPORT_SUFFIX)


class Group(Struct, frozen=True):
    """The state files of one directory, as a rule one dataset. Names only."""

    directory: bytes
    """Relative to STATEDIR; empty for STATEDIR itself."""
    pending: tuple[bytes, ...]
    """Names `*.state`, by part, and those of AXL's state files; of a large dataset with the
    directory before them (`0.parts/7.state`)."""
    done: tuple[bytes, ...]
    """Names `*.done`, likewise."""


def scan(state_dir: bytes, refused: list[OSError], *, only_roots: bool = False) -> Iterator[Group]:
    """Each directory below `state_dir` that holds state files, in order of name.

    Never through a symlink, never into a dot directory; with `only_roots` into none that
    others than root can write. What cannot be read, or lies deeper than agents write, is
    added to `refused` and does not stop the rest.

    Raises:
        OSError: `state_dir` itself cannot be read.
    """
    yield from _Walk(state_dir, refused, only_roots).below(fsops.open_dir(state_dir), b"", 0)


class _Walk(Struct, frozen=True):
    """Step by step through descriptors of directories: what is exchanged for a FIFO in between
    is an error and not waited for."""

    top: bytes
    refused: list[OSError]
    only_roots: bool

    def below(self, fd: int, directory: bytes, depth: int) -> Iterator[Group]:
        """The groups of `directory`, which is open at `fd`, and below it; closes `fd`."""
        try:
            subdirs, files = _listed(fd)
            others = self._add_places(fd, directory, subdirs, files)
            for found in (self._group(fd, directory, files), *others):
                if found.pending or found.done:
                    yield found
            if subdirs and depth >= _DEPTH_MAX:
                self._refuse(OSError(errno.ELOOP, _TOO_DEEP), directory)
                return
            for name in subdirs:
                path = os.path.join(directory, name)
                child = self._opened(fd, name, path)
                if child is not None:
                    yield from self.below(child, path, depth + 1)
        except OSError as error:
            if not directory:
                raise
            self._refuse(error, directory)
        finally:
            os.close(fd)

    def _add_places(
        self, fd: int, directory: bytes, subdirs: list[bytes], files: list[bytes]
    ) -> list[Group]:
        """What lies in the directories of a large dataset's parts is the dataset's own.

        Gives another library's state files in them as groups of their own.
        """
        others = []
        for place in list(filter(is_place, subdirs if directory else ())):
            subdirs.remove(place)
            path = os.path.join(directory, place)
            child = self._opened(fd, place, path)
            if child is None:
                continue
            try:
                inner, names = _listed(child)
                ours = [name for name in names if name.endswith(_OURS)]
                others.append(self._group(child, path, sorted(set(names) - set(ours))))
            finally:
                os.close(child)
            subdirs += [os.path.join(place, name) for name in inner]
            files += [os.path.join(place, name) for name in ours]
        return others

    def _group(self, fd: int, directory: bytes, files: list[bytes]) -> Group:
        pending = [name for name in files if name.endswith(STATE_SUFFIX)]
        done = [name for name in files if name.endswith(DONE_SUFFIX)]
        for name in files:
            try:
                if not name.endswith(_OURS) and is_foreign(fd, name):
                    pending.append(name)
            except OSError as error:
                self._refuse(error, os.path.join(directory, name))
        return Group(
            directory,
            tuple(sorted(pending, key=part_order)),
            tuple(sorted(done, key=part_order)),
        )

    def _opened(self, fd: int, name: bytes, path: bytes) -> int | None:
        try:
            child = fsops.open_subdir(fd, name)
        except OSError as error:
            self._refuse(error, path)
            return None
        if self.only_roots and not is_roots_alone(os.fstat(child)):
            os.close(child)
            self._refuse(OSError(errno.EPERM, _NOT_ROOTS), path)
            return None
        return child

    def _refuse(self, error: OSError, below: bytes) -> None:
        path = os.path.join(self.top, below)
        self.refused.append(OSError(error.errno, error.strerror, path))


def _listed(fd: int) -> tuple[list[bytes], list[bytes]]:
    """Names of the directories that are not hidden, in order, and of everything else."""
    subdirs: list[bytes] = []
    files: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            is_dir = entry.is_dir(follow_symlinks=False)
            (subdirs if is_dir else files).append(os.fsencode(entry.name))
    return sorted(name for name in subdirs if not name.startswith(b".")), files


def part_order(name: bytes) -> tuple[int, bytes]:
    """`2.state` before `10.state`, other names after."""
    stem = _stem(name)
    return (int(stem), b"") if stem.isdigit() and len(stem) < 12 else (1 << 60, name)


def part_of(name: bytes) -> int | None:
    """The part that a state file's name says; None for a name that is no number."""
    stem = _stem(name)
    return int(stem) if stem.isdigit() and len(stem) < 12 else None


def _stem(name: bytes) -> bytes:
    return name.rpartition(b"/")[2].rpartition(b".")[0]
