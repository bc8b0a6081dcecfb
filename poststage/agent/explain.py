"""What the operating system refused, in our words: `OSError` → the error that fits."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from poststage import names
from poststage.errors import PermissionRefusedError, PoststageError, RunAgainError, UsageError

_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WRONG = frozenset(
    {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT}
)


@contextmanager
def explained(what: str, untouched: str) -> Iterator[None]:
    """Run the block; an OSError in it becomes `what: place: fact; untouched`.

    Raises:
        PermissionRefusedError, UsageError, RunAgainError: by the error's number.
    """
    try:
        yield
    except OSError as error:
        raise of(error, what, untouched) from error


def of(error: OSError, what: str, untouched: str) -> PoststageError:
    """The error to raise in place of `error`."""
    named = error.filename if isinstance(error.filename, bytes | str) else ""
    place = "" if not named or names.shown(named) in what else f"{names.shown(named)}: "
    message = f"{what}: {place}{error.strerror or error}; {untouched}"
    if error.errno in _FORBIDDEN:
        return PermissionRefusedError(message)
    if error.errno in _WRONG:
        return UsageError(message)
    return RunAgainError(message, hint="when the fault has passed, the same can be done again")
