"""Replace a small file whole: temp, fsync, rename, fsync of the directory."""

import os
from contextlib import suppress

from poststage.durable import fsops, journal


def replace_file(dir_fd: int, name: bytes, content: bytes, *, mode: int = 0o644) -> None:
    """Make `name` hold `content`, durably; readers see the old or the new content, never a part.

    `mode` is given exactly, whatever the umask. A leftover temp of a crash is overwritten.

    Raises:
        OSError: the old content, if any, is untouched.
    """
    temp = b"." + name[:200] + b".new"
    with suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=dir_fd)
    fd = fsops.create(dir_fd, temp, mode=mode)
    try:
        journal.append(fd, content)
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)
    fsops.replace(dir_fd, temp, name)
    os.fsync(dir_fd)
