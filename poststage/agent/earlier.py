"""Whether a dataset's name was used before and its records are still there. Changes nothing."""

import os

import msgspec

from poststage import names
from poststage.durable import fsops
from poststage.errors import UsageError
from poststage.statefile.layout import done_name, report_name

_MAX = 8 << 20  # bytes, as the finalizer reads it; a longer one tells nothing
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Report(msgspec.Struct, frozen=True):
    complete: bool


class _Document(msgspec.Struct, frozen=True):
    """What is looked at of a dataset's report; the rest is passed over."""

    report: _Report


def require_unused(directory: bytes, dir_fd: int, state: bytes, dataset: str) -> None:
    """Return if `state` would not be counted together with parts of an earlier use of `dataset`.

    `directory` is the dataset's, open at `dir_fd`. Parts set aside would stand in for those
    that are not recorded this time, and the dataset would look complete without them. A
    part that another rank has recorded and a finalizer has published by now is no hindrance.

    Raises:
        UsageError: this part is set aside, or the dataset's report says complete.
    """
    what = f"state file {names.shown(os.path.join(directory, state))}"
    hint = (
        f"`poststage forget --dataset {names.shown(dataset)}` removes the earlier records; or "
        "choose another dataset name or another state directory"
    )
    done = done_name(state)
    if fsops.facts(dir_fd, done) is not None:
        raise UsageError(
            f"{what}: part is published already, {names.shown(done)} is its record; "
            "nothing was started",
            hint=hint,
        )
    if _is_complete(report_name(directory)):
        raise UsageError(
            f"{what}: dataset is complete already, says {names.shown(report_name(directory))}; "
            "nothing was started",
            hint=hint,
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
