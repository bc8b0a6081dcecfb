"""Finding the state files of a STATEDIR; never through a symlink, never in a dot directory."""

import os
import re

from poststage.statefile.layout import DONE_SUFFIX, STATE_SUFFIX

_PARTS = re.compile(rb"(\d+)|(\D+)")


def dataset_dirs(state_dir_fd: int) -> list[bytes]:
    """The directories of datasets in the STATEDIR open at `state_dir_fd`, in order.

    What a symlink points to is not among them. Open them with `fsops.open_subdir`.
    """
    with os.scandir(state_dir_fd) as entries:
        found = [
            os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)
        ]
    return sorted((name for name in found if not name.startswith(b".")), key=_order)


def state_files(dataset_dir_fd: int) -> list[bytes]:
    """The names `*.state` and `*.done` in an open dataset's directory, by part.

    Names alone: what they are tells `fsops.open_file` and fstat.
    """
    suffixes = (STATE_SUFFIX, DONE_SUFFIX)
    found = (os.fsencode(name) for name in os.listdir(dataset_dir_fd))
    return sorted(
        (name for name in found if name.endswith(suffixes) and not name.startswith(b".")),
        key=_order,
    )


def _order(name: bytes) -> list[tuple[bytes, int]]:
    """`2.state` before `10.state`."""
    return [(text, int(digits or 0)) for digits, text in _PARTS.findall(name)]
