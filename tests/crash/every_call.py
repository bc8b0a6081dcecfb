"""Makes each changing call that the project's code could make, once, below a directory."""

import ctypes
import os
import sys

from poststage.durable import fsops


def main(root: str) -> None:
    """All of fsops, and what the copy engine and others use besides."""
    fd = fsops.open_dir(os.fsencode(root))
    file = fsops.create(fd, b"file", mode=0o600)
    os.pwrite(file, b"0123456789", 0)
    fsops.set_owner(file, os.getuid(), os.getgid())
    fsops.set_mode(file, 0o640)
    fsops.set_times(file, 1, 2)
    path_only = os.open(b"file", os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
    fsops.set_owner(path_only, os.getuid(), os.getgid())
    fsops.set_mode(path_only, 0o640)
    fsops.set_times(path_only, 1, 2)
    os.ftruncate(file, 4)
    os.truncate(f"{root}/file", 3)
    fsops.sync(file)
    os.fdatasync(file)
    fsops.sync_filesystem(fd)
    fsops.link(fd, b"file", fd, b"linked")
    fsops.symlink(b"target", fd, b"symlink")
    fsops.set_link_owner(fd, b"symlink", os.getuid(), os.getgid())
    fsops.set_link_times(fd, b"symlink", 1, 2)
    fsops.publish(fd, b"linked", b"published")
    fsops.replace(fd, b"published", b"replaced")
    fsops.exchange(fd, b"file", b"replaced")
    fsops.make_dir(fd, b"directory", 0o700)
    fsops.remove_dir(fd, b"directory")
    fsops.unlink(fd, b"replaced")
    _by_path(root, file)


def _by_path(root: str, file: int) -> None:
    readable = os.open(f"{root}/file", os.O_RDONLY)
    copy = os.open(f"{root}/copy", os.O_WRONLY | os.O_CREAT)
    os.copy_file_range(readable, copy, 2)
    os.sendfile(copy, readable, 0, 1)
    os.chmod(f"{root}/copy", 0o600)
    os.chown(f"{root}/copy", -1, -1)
    os.utime(f"{root}/copy")
    os.rename(f"{root}/copy", f"{root}/moved")
    os.link(f"{root}/moved", f"{root}/other")
    os.unlink(f"{root}/other")
    os.mkdir(f"{root}/d")
    os.rmdir(f"{root}/d")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.renameat2(-100, f"{root}/moved".encode(), -100, f"{root}/again".encode(), 1)
    os.close(file)


if __name__ == "__main__":
    main(sys.argv[1])
