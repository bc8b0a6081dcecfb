"""What a mover looks at where its vendor does not: is the source as recorded, is there a place?"""

import os
import stat
from collections.abc import Sequence

from poststage.backends.base import Item
from poststage.errors import BackendError
from poststage.names import shown


def require_movable(items: Sequence[Item]) -> None:
    """Raise BackendError for a source that is not what was recorded, or a missing directory."""
    for item in items:
        try:
            info = os.lstat(item.source)
        except OSError as error:
            raise _refused(item.source, error.strerror or str(error)) from error
        if not stat.S_ISREG(info.st_mode):
            raise _refused(item.source, "is no regular file")
        if (info.st_size, info.st_mtime_ns) != (item.size, item.mtime_ns):
            raise _refused(item.source, "changed after it was recorded")
        directory = os.path.dirname(item.target)
        if not os.path.isdir(directory):
            raise _refused(directory, "is not a directory")


def _refused(path: bytes, fact: str) -> BackendError:
    return BackendError(f"{shown(path)}: {fact}; nothing of its transfer was started")
