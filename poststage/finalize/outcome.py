"""How one entry came out of this run."""

import errno
from collections.abc import Iterator, MutableMapping

from msgspec import Struct

from poststage.errors import ExitCode, PoststageError
from poststage.model import Verdict


class Outcome(Struct, frozen=True):
    """Verdict of one entry, why, and the exit code that it asks for."""

    verdict: Verdict
    reason: str = ""
    code: ExitCode = ExitCode.OK
    changed: bool = False
    """Whether this run changed something for it."""
    errno: str = ""
    """The operating system's name for what it refused, for a log."""


PUBLISHED = Outcome(Verdict.PUBLISHED, changed=True)
"""What comes of nearly every file."""


class Outcomes(MutableMapping[int, Outcome]):
    """Index of an entry → its outcome; where it is marked as PUBLISHED, that takes one byte."""

    def __init__(self, entries: int) -> None:
        self._marks = bytearray(entries)
        self._others: dict[int, Outcome] = {}
        self.marked_bytes = 0
        """Sum of the sizes that `mark` was told."""

    def mark(self, index: int, size: int) -> None:
        """`self[index] = PUBLISHED`, for good, for a file of `size` bytes."""
        self._marks[index] = 1
        self.marked_bytes += size

    @property
    def marked(self) -> int:
        """How many are marked."""
        return self._marks.count(1)

    def unmarked(self) -> Iterator[int]:
        """The indexes of all others, whether they have an outcome or not."""
        at = self._marks.find(0)
        while at >= 0:
            yield at
            at = self._marks.find(0, at + 1)

    def __getitem__(self, index: int) -> Outcome:
        return PUBLISHED if self._is_marked(index) else self._others[index]

    def __setitem__(self, index: int, outcome: Outcome) -> None:
        assert not self._is_marked(index)
        self._others[index] = outcome

    def __delitem__(self, index: int) -> None:
        del self._others[index]

    def __contains__(self, index: object) -> bool:
        return index in self._others or (isinstance(index, int) and self._is_marked(index))

    def __iter__(self) -> Iterator[int]:
        yield from (index for index, mark in enumerate(self._marks) if mark)
        yield from self._others

    def __len__(self) -> int:
        return self.marked + len(self._others)

    def _is_marked(self, index: int) -> bool:
        return 0 <= index < len(self._marks) and bool(self._marks[index])


_CODES = {
    Verdict.PUBLISHED: ExitCode.OK,
    Verdict.FAILED: ExitCode.NEEDS_PERSON,
    Verdict.CONFLICT: ExitCode.NEEDS_PERSON,
    Verdict.LOST: ExitCode.NEEDS_PERSON,
    Verdict.RUNNING: ExitCode.RUN_AGAIN,
    Verdict.UNKNOWN: ExitCode.RUN_AGAIN,
}
_NOT_PERMITTED = frozenset({errno.EPERM, errno.EACCES})


def outcome(
    verdict: Verdict, reason: str = "", *, code: ExitCode | None = None, changed: bool = False
) -> Outcome:
    """An outcome with its verdict's own exit code, unless another is given."""
    return Outcome(verdict, reason, _CODES[verdict] if code is None else code, changed)


def refused(step: str, error: OSError | PoststageError) -> Outcome:
    """What comes of an entry for which `step` was refused: everything is kept."""
    if isinstance(error, PoststageError):
        return Outcome(Verdict.UNKNOWN, error.message, error.exit_code)
    name = errno.errorcode.get(error.errno or 0, "?")
    reason = f"{step}: {error.strerror} ({name}); nothing of it was deleted"
    code = ExitCode.PERMISSION if error.errno in _NOT_PERMITTED else ExitCode.RUN_AGAIN
    return Outcome(Verdict.UNKNOWN, reason, code, errno=name)
