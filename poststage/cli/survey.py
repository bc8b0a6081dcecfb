"""Reading a STATEDIR for people: each state file summed up, one at a time."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from poststage.durable import fsops
from poststage.durable.lock import is_held
from poststage.errors import PermissionRefusedError, StateFileError, UsageError
from poststage.finalize.scan import Group, part_of, part_order, scan
from poststage.model import Kind, State, Verdict
from poststage.names import shown
from poststage.statefile.anyone import read_up_to_damage
from poststage.statefile.axl import BACKEND as AXL
from poststage.statefile.layout import DONE_SUFFIX


class Part(Struct, frozen=True):
    """One state file in numbers; nothing in it grows with the entries."""

    name: bytes
    """`0.state`, `0.done`."""
    damage: str = ""
    """Why it could not be read; then nothing below is known."""
    damaged: bool = False
    """Whether that is damage (status 65) and not a lack of permission."""
    id: str = ""
    dataset: str = ""
    part: int | None = None
    """As the file says; of a damaged one, as its name says."""
    parts: int = 0
    backend: str = ""
    handle: str | None = None
    recorded: bool = False
    held: bool = False
    """Whether its agent holds it, so that it is still being recorded."""
    files: int = 0
    """Entries that are no directories."""
    size_bytes: int = 0
    """Of the regular files, a file of several names once."""
    verdicts: dict[Verdict, int] = {}
    """Of files, and of directories that are not as they should be."""
    moves: bool = False
    """Whether it has regular files, which a backend moved."""
    moving: bool = False
    """Whether a regular file of it has no recorded verdict, so that its backend matters."""
    open_entries: int = 0
    """Entries without a recorded verdict; 0 in a file that is set aside."""
    open_directories: int = 0
    """Those of them that are directories."""

    @property
    def done(self) -> bool:
        """Whether it was set aside: all of it is published."""
        return self.name.endswith(DONE_SUFFIX)

    @property
    def cut_off(self) -> bool:
        """Whether its agent ended before all was recorded, and so before anything was started."""
        return not (self.damage or self.recorded or self.held or self.done)

    @property
    def closed(self) -> bool:
        """Whether nothing of it is open: the finalizer will never look at it again."""
        return not self.damage and self.recorded and not self.open_entries


@contextmanager
def open_state_dir(path: Path) -> Iterator[int]:
    """A descriptor of the STATEDIR `path` for the block.

    Raises:
        UsageError: it is not there or is no directory.
        PermissionRefusedError: it may not be opened.
    """
    try:
        fd = fsops.open_dir(os.fsencode(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{path}: {_fact(error)}", hint="give the directory that `poststage out` was given"
        ) from error
    except PermissionError as error:
        raise PermissionRefusedError(f"{path}: {_fact(error)}; nothing was read") from error
    try:
        yield fd
    finally:
        os.close(fd)


def groups(state_dir: Path) -> Iterator[tuple[Group, str]]:
    """Each directory of state files with "", and each that cannot be read with the reason."""
    refused: list[OSError] = []
    top = os.fsencode(state_dir)
    for group in scan(top, refused, only_roots=os.geteuid() == 0):
        yield group, ""
    for error in refused:
        where = os.path.relpath(os.fsencode(error.filename or top), top)
        yield Group(where, (), ()), _fact(error)


def read_group(state_dir_fd: int, group: Group) -> list[Part]:
    """Each state file of `group`, by part; one that cannot be read is a value too."""
    names = sorted(group.pending + group.done, key=part_order)
    try:
        fd = open_below(state_dir_fd, group.directory)
    except OSError as error:
        return [Part(name, damage=_fact(error)) for name in names]
    try:
        return _numbered([read_part(fd, name) for name in names])
    finally:
        os.close(fd)


def _numbered(parts: list[Part]) -> list[Part]:
    """`parts`, those that say no number (AXL's) counted after the others."""
    numbered = max((part.parts for part in parts), default=0)
    loose = [part for part in parts if part.id and not part.parts]
    if not loose:
        return parts
    total = numbered + len(loose)
    place = {part.name: number for number, part in enumerate(loose, start=numbered)}
    return [
        replace(part, part=place[part.name], parts=total) if part.name in place else part
        for part in parts
    ]


def open_below(state_dir_fd: int, directory: bytes) -> int:
    """A descriptor of `directory`, relative to an open STATEDIR; no component is a symlink."""
    fd = os.dup(state_dir_fd)
    for name in filter(None, directory.split(b"/")):
        try:
            child = fsops.open_subdir(fd, name)
        finally:
            os.close(fd)
        fd = child
    return fd


def read_part(dataset_dir_fd: int, name: bytes) -> Part:
    """The state file `name` summed up; a file that cannot be read is a value too."""
    try:
        fd = fsops.open_file(dataset_dir_fd, name)
    except OSError as error:
        return Part(name, damage=_fact(error))
    try:
        if fsops.is_path_only(fd):
            return Part(name, damage="permission denied")
        held = is_held(fd)  # looked at first: what is let go of after that is recorded by then
        state, damage = read_up_to_damage(dataset_dir_fd, fd, name)
    except OSError as error:
        return Part(name, damage=_fact(error))
    except StateFileError as error:
        return Part(name, damage=error.message, damaged=True)
    finally:
        os.close(fd)
    if damage:
        return Part(name, part=part_of(name), damage=damage, damaged=True)
    return replace(Part(name) if state is None else _part(name, state), held=held)


def _part(name: bytes, state: State) -> Part:
    head, entries = state.head, state.entries
    done = name.endswith(DONE_SUFFIX)
    files = sum(entry.kind is not Kind.DIRECTORY for entry in entries)
    ended_directories = sum(entries[index].kind is Kind.DIRECTORY for index in state.ended)
    return Part(
        name,
        id=head.id,
        dataset=head.dataset,
        part=head.part,
        parts=head.parts,
        backend=head.backend,
        handle=state.handle,
        recorded=state.recorded,
        files=files,
        size_bytes=sum(entry.meta.size for entry in entries if entry.kind is Kind.FILE),
        verdicts={Verdict.PUBLISHED: files} if done else _verdicts(state),
        moves=any(entry.kind is Kind.FILE for entry in entries),
        moving=not (done or head.backend == AXL)
        and any(e.kind is Kind.FILE and i not in state.ended for i, e in enumerate(entries)),
        open_entries=0 if done else len(entries) - len(state.ended),
        open_directories=0 if done else len(entries) - files - ended_directories,
    )


def _verdicts(state: State) -> dict[Verdict, int]:
    """As finalize counts: directories only where they are not as they should be."""
    return dict(
        Counter(
            ended.verdict
            for index, ended in state.ended.items()
            if ended.verdict is not Verdict.PUBLISHED
            or state.entries[index].kind is not Kind.DIRECTORY
        )
    )


def _fact(error: OSError) -> str:
    return shown((error.strerror or str(error)).lower())
