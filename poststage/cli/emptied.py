"""Directories of datasets with nothing in them: what a `forget` that was killed leaves behind.

An agent that was about to use one makes it again (agent/recording.py).
"""

import errno
import os
from collections.abc import Iterator

from poststage.durable import fsops
from poststage.statefile.layout import dataset_dir_name, is_place

# rmdir(2) answers either for a directory that is not empty, ENOENT when it is gone already.
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT})


def emptied(state_dir_fd: int, dataset: str | None) -> Iterator[bytes]:
    """Names of the datasets' directories (None: of all) that hold no file and nothing unknown."""
    wanted = None if dataset is None else dataset_dir_name(dataset)
    with os.scandir(state_dir_fd) as entries:
        names = [os.fsencode(one.name) for one in entries if one.is_dir(follow_symlinks=False)]
    for name in sorted(names):
        is_ours = not name.startswith(b".") if wanted is None else name == wanted
        if is_ours and _is_empty(state_dir_fd, name):
            yield name


def _is_empty(dir_fd: int, name: bytes) -> bool:
    """Whether the directory holds nothing, or nothing but empty places of parts."""
    try:
        fd = fsops.open_subdir(dir_fd, name)
    except OSError:  # gone, or not ours to look into
        return False
    try:
        found = [os.fsencode(one) for one in os.listdir(fd)]
        return all(is_place(one) and _is_empty(fd, one) for one in found)
    finally:
        os.close(fd)


def remove(state_dir_fd: int, name: bytes) -> None:
    """Remove an `emptied` directory; one in which something has come to be stays."""
    fd = fsops.open_subdir(state_dir_fd, name)
    try:
        for place in filter(is_place, map(os.fsencode, os.listdir(fd))):
            remove_if_empty(fd, place)
    finally:
        os.close(fd)
    remove_if_empty(state_dir_fd, name)


def remove_if_empty(dir_fd: int, name: bytes) -> None:
    """A directory with strangers' files in it stays."""
    try:
        fsops.remove_dir(dir_fd, name)
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
