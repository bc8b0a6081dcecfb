"""Whether what was written to a pipe has been read: what a launcher has not, an abort loses."""

import array
import fcntl
import os
import stat
import sys
import termios

from poststage.agent import poll

_PATIENCE_S = 1.0


def unread(fd: int) -> int:
    """Bytes that wait in the pipe `fd` for its reader (FIONREAD); 0 for anything but a pipe."""
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


def let_be_read() -> None:
    """Return when stdout and stderr have been read, at the latest after a second."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    poll.until(lambda: unread(1) + unread(2), lambda count: count == 0, _PATIENCE_S)
