"""The entries of one state file: kept as they were decoded, read again where they are many.

A page is what one block of the journal holds. A short state file is one page and stays in
memory; of a long one only where its pages begin does, so a million entries take no more
memory than some thousands.
"""

import os
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import overload

from msgspec import Struct

from poststage.durable import journal
from poststage.errors import StateFileError
from poststage.model import Entry
from poststage.names import shown
from poststage.statefile import codec
from poststage.statefile.records import EntryRecord, decode_block

_KEPT = 2  # pages of a long state file


class Page(Struct, frozen=True):
    """Neighbouring entries, the first of them at index `first`."""

    first: int
    records: Sequence[EntryRecord]
    plain: bool
    """Every text is in printable ASCII without `%`, `"` and backslash: its own written form."""


class Entries(Sequence[Entry]):
    """Entries by index, made from their records when asked for; equal to a tuple of the same."""

    def __init__(
        self, firsts: Sequence[int], count: int, load: Callable[[int], Page], others: frozenset[int]
    ) -> None:
        """`count` entries; `load` gives page N, which begins with entry `firsts[N]`."""
        self.others = others
        """Indexes of what is no FILE."""
        self._firsts, self._count, self._load = firsts, count, load
        self._kept: dict[int, tuple[Page, dict[int, Entry]]] = {}

    def pages(self) -> Iterator[Page]:
        """All of them, in order.

        Raises:
            StateFileError: a long state file is not what it was.
            OSError: it cannot be read again.
        """
        return map(self._load, range(len(self._firsts)))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        page, made = self._page(bisect_right(self._firsts, index) - 1)
        entry = made.get(index)
        if entry is None:
            entry = made[index] = codec.entry_of(page.records[index - page.first], index)
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(self._count))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment] # as of every sequence that compares by content

    def __repr__(self) -> str:
        return f"Entries({tuple(self)!r})"

    def _page(self, number: int) -> tuple[Page, dict[int, Entry]]:
        if number not in self._kept:
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = self._load(number), {}
        return self._kept[number]


def short(page: Page, others: frozenset[int]) -> Entries:
    """The entries of a state file of one page."""
    return Entries([0], len(page.records), lambda number: page, others)


def long(
    fd: int, path: bytes, blocks: Sequence[tuple[int, int, int]], count: int, others: frozenset[int]
) -> Entries:
    """Of a longer one, open at `fd`: its blocks' first index, offset and end."""
    own = os.dup(fd)

    def load(number: int) -> Page:
        first, start, end = blocks[number]
        try:
            lines = b"\n".join(journal.again(own, start, end)) + b"\n"
            records = [one for one in decode_block(lines) if type(one) is EntryRecord]
        except ValueError as error:
            text = f"{shown(path)}: changed while it was worked on: {shown(str(error))}"
            raise StateFileError(text, hint="run it again") from error
        return Page(first, records, is_plain(lines))

    found = Entries([first for first, _, _ in blocks], count, load, others)
    weakref.finalize(found, os.close, own)
    return found


def is_plain(lines: bytes) -> bool:
    """Whether these records make a plain page."""
    find = lines.find  # `in` asks first whether it is given a number
    escapes = find(b"%") >= 0 or find(b"\\") >= 0 or find(b"\x7f") >= 0 or not lines.isascii()
    return not escapes
