"""How one entry came out of this run."""

import errno

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
