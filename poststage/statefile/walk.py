"""Finding the state files of a STATEDIR; never through a symlink, never in a dot directory."""

import os
import re

from poststage.durable import fsops
from poststage.statefile import layout

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

    Those of a large dataset stand behind the directory that they lie in (`0.parts/7.state`).
    Names alone: what they are tells `fsops.open_file` and fstat.
    """
    found = _names(dataset_dir_fd)
    for place in filter(layout.is_place, dataset_dirs(dataset_dir_fd)):
        fd = fsops.open_subdir(dataset_dir_fd, place)
        try:
            found += [place + b"/" + name for name in _names(fd)]
        finally:
            os.close(fd)
    return sorted(found, key=_order)


def _names(fd: int) -> list[bytes]:
    suffixes = (layout.STATE_SUFFIX, layout.DONE_SUFFIX)
    found = map(os.fsencode, os.listdir(fd))
    return [name for name in found if name.endswith(suffixes) and not name.startswith(b".")]


def _order(name: bytes) -> list[tuple[bytes, int]]:
    """`2.state` before `10.state`."""
    return [(text, int(digits or 0)) for digits, text in _PARTS.findall(name)]
