"""The pending state files of a run, in the order in which they are worked on."""

import os
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

from poststage.finalize.pending import Pending
from poststage.finalize.scan import Group

_AT_ONCE = 64  # of one directory before another has its turn: as many as a thread takes at most


class Listed(Collection[Pending]):
    """Those of all groups; each is made when it is asked for.

    Directories take turns: renames in one wait for each other, so who works on many state
    files at once shall find them in several.
    """

    def __init__(self, state_dir: Path, groups: Iterable[Group]) -> None:
        self._state_dir, self._groups = os.fsencode(state_dir), tuple(groups)

    def __iter__(self) -> Iterator[Pending]:
        turns = [
            self._made(group, tuple(names))
            for group in self._groups
            for _, names in groupby(group.pending, key=os.path.dirname)
        ]
        while turns:
            left = []
            for turn in turns:
                some = list(islice(turn, _AT_ONCE))
                yield from some
                if len(some) == _AT_ONCE:
                    left.append(turn)
            turns = left

    def __len__(self) -> int:
        return sum(len(group.pending) for group in self._groups)

    def __contains__(self, one: object) -> bool:
        return any(one == mine for mine in self)

    def _made(self, group: Group, names: tuple[bytes, ...]) -> Iterator[Pending]:
        base = os.path.join(self._state_dir, group.directory, b"")
        return (Pending(group.directory, name, base + name) for name in names)


def by_directory(pending: Iterable[Pending]) -> dict[bytes, list[Pending]]:
    """Those of each directory, in order."""
    found: dict[bytes, list[Pending]] = {}
    for one in pending:
        found.setdefault(one.directory, []).append(one)
    return found
