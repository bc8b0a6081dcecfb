"""Where a file has data, and where nothing but holes."""

import errno
import os

from poststage.durable import fsops


def are_told(fd: int, size: int) -> bool:
    """Whether the file has holes that can be believed.

    Some file systems tell holes where data is still to be allocated; fsync(2) settles it.
    """
    if os.fstat(fd).st_blocks * 512 >= size:
        return False
    try:
        fsops.sync(fd)
    except OSError:
        return False
    return True


def next_data(fd: int, position: int, size: int) -> tuple[int, int]:
    """Where data begins and ends from `position` on; an empty range at `size` for none.

    Where the file system cannot tell, all is data.
    """
    try:
        first = os.lseek(fd, position, os.SEEK_DATA)
        last = os.lseek(fd, first, os.SEEK_HOLE)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (position, size)
    return min(first, size), min(last, size)
