"""How far a temp file holds what its source does. Reads only.

An inode number is given out again, a size says nothing of contents, and what was durable
once can be damaged since: nothing but the bytes themselves proves that a copy may go on.
"""

import os
from collections.abc import Callable

from poststage.copier import holes
from poststage.durable import fsops

BLOCK = 1 << 20  # bytes read and compared at a time


def proven(source_fd: int, temp_fd: int, recorded: int, go_on: Callable[[], None]) -> int:
    """How many of the first `recorded` bytes of the temp file are the source's, one by one.

    Read from the disk, not from the cache; whole blocks, so what is left may be some bytes more.
    A hole in both is equal without being read. `go_on` is called before each block; may raise.
    """
    fsops.sync(temp_fd)  # pages that are not written yet are not dropped
    fsops.drop_cache(temp_fd)
    fds = source_fd, temp_fd
    sparse = all(holes.are_told(fd, recorded) for fd in fds)
    position = 0
    while position < recorded:
        go_on()
        if sparse:
            position = min(holes.next_data(fd, position, recorded)[0] for fd in fds)
        count = min(BLOCK, recorded - position)
        ours = os.pread(source_fd, count, position)
        if len(ours) < count or ours != _read_back(temp_fd, count, position):
            return position
        position += count
    return recorded


def _read_back(temp_fd: int, count: int, position: int) -> bytes | None:
    """What the temp file holds; None for what cannot be read, and is to be written again."""
    try:
        return os.pread(temp_fd, count, position)
    except OSError:
        return None
