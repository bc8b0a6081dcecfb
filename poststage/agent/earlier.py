"""Whether a dataset's name was used before and its records are still there. Changes nothing."""

import os

import msgspec

from poststage import names
from poststage.durable import fsops
from poststage.errors import UsageError
from poststage.statefile.layout import done_name, other_path, report_name

_MAX = 8 << 20  # bytes, as the finalizer reads it; a longer one tells nothing
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Report(msgspec.Struct, frozen=True):
    complete: bool


class _Document(msgspec.Struct, frozen=True):
    """What is looked at of a dataset's report; the rest is passed over."""

    report: _Report


def require_unused(dataset_dir: bytes, path: bytes, dataset: str) -> None:
    """Return if the state file `path` would not be counted together with an earlier use's parts.

    `dataset_dir` is the dataset's. Parts set aside would stand in for those that are not
    recorded this time, and the dataset would look complete without them. A part that another
    rank has recorded and a finalizer has published by now is no hindrance.

    Raises:
        UsageError: this part is set aside, or the dataset's report says complete.
    """
    done, report = done_name(path), report_name(dataset_dir)
    if os.path.lexists(done):
        name = names.shown(os.path.basename(done))
        raise _used(path, f"part is published already, {name} is its record", dataset)
    if _is_complete(report):
        fact = f"dataset is complete already, says {names.shown(report)}"
        raise _used(path, fact, dataset)


def require_not_elsewhere(dataset_dir: bytes, path: bytes, dataset: str) -> None:
    """Return if this part is not on record where it lies in a dataset of few parts, or of many.

    Raises:
        UsageError: it is, from an earlier use with another number of parts.
    """
    other = os.path.join(dataset_dir, other_path(os.path.relpath(path, dataset_dir)))
    for record in (other, done_name(other)):
        if os.path.lexists(record):
            raise _used(path, f"part is on record already, as {names.shown(record)}", dataset)


def _used(path: bytes, fact: str, dataset: str) -> UsageError:
    return UsageError(
        f"state file {names.shown(path)}: {fact}; nothing was started",
        hint=f"`poststage forget --dataset {names.shown(dataset)}` removes the earlier records; or "
        "choose another dataset name or another state directory",
    )


def _is_complete(report: bytes) -> bool:
    """What the finalizer's last report says; one that cannot be understood says no."""
    try:
        fd = os.open(report, _FLAGS)
    except OSError:
        return False
    try:
        if not fsops.is_regular(os.fstat(fd)):
            return False
        return msgspec.json.decode(os.pread(fd, _MAX, 0), type=_Document).report.complete
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return False
    finally:
        os.close(fd)
