"""Small programs that publish one file, right and wrong: the harnesses must tell which.

`publish(DIR, DEFECT)` gives DIR/.file.temp the name DIR/file with mode 04750, the
owner's own group and the mtime 5 s, and then renames DIR/state to DIR/state.done.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMP, NAME, STATE, DONE = ".file.temp", "file", "state", "state.done"
MODE, TIMES_NS = 0o4750, (7_000_000_001, 5_000_000_001)

DEFECTS = (
    "rename first",
    "mode before owner",
    "commit first",
    "no sync of the file",
    "no sync of the directory",
    "copy instead of rename",
    "unlink first",
    "always touch",
    "swallow errors",
    "trust absence",
)


def publish(directory: str, defect: str = "") -> int:
    """Exit status: 0 when done, 75 when an error was met and everything is kept."""
    try:
        with _opened(directory, os.O_DIRECTORY) as fd:
            if defect == "always touch":
                os.utime(".", dir_fd=fd)
            if not _there(fd, STATE):
                return 0
            return _publish(fd, defect)
    except OSError as error:
        print(error)
        return 75


@contextmanager
def _opened(path: str, flags: int, dir_fd: int | None = None) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | flags, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _publish(fd: int, defect: str) -> int:
    if defect == "commit first":
        os.rename(STATE, DONE, src_dir_fd=fd, dst_dir_fd=fd)
    if defect == "swallow errors":
        with suppress(OSError):
            _move(fd, defect)
    elif _there(fd, TEMP):
        _move(fd, defect)
    elif defect != "trust absence" and not _is_new(fd):
        return 75
    if defect != "no sync of the directory":
        os.fsync(fd)
    if defect != "commit first":
        os.rename(STATE, DONE, src_dir_fd=fd, dst_dir_fd=fd)
        os.fsync(fd)
    return 0


def _there(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_new(fd: int) -> bool:
    return _there(fd, NAME) and os.stat(NAME, dir_fd=fd).st_mtime_ns == TIMES_NS[1]


def _move(fd: int, defect: str) -> None:
    if defect == "unlink first" and _there(fd, NAME):
        os.unlink(NAME, dir_fd=fd)
    if defect == "copy instead of rename":
        content = Path(f"/proc/self/fd/{fd}/{TEMP}").read_bytes()
        Path(f"/proc/self/fd/{fd}/{NAME}").write_bytes(content)
        _restore(fd, NAME, defect)
        os.unlink(TEMP, dir_fd=fd)
        return
    if defect == "rename first":
        os.rename(TEMP, NAME, src_dir_fd=fd, dst_dir_fd=fd)
        _restore(fd, NAME, defect)
        return
    _restore(fd, TEMP, defect)
    os.rename(TEMP, NAME, src_dir_fd=fd, dst_dir_fd=fd)


def _restore(fd: int, name: str, defect: str) -> None:
    with _opened(name, os.O_NOFOLLOW, fd) as file:
        if defect == "mode before owner":
            os.fchmod(file, MODE)
        os.fchown(file, os.getuid(), os.getgid())
        if defect != "mode before owner":
            os.fchmod(file, MODE)
        os.utime(file, ns=TIMES_NS)
        if defect != "no sync of the file":
            os.fsync(file)
