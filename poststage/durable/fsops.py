"""The only module that changes the filesystem, but for the copying of contents.

Functions take an open directory and one name (or an open file), so a swapped
symlink cannot redirect them. `OSError` passes through; callers add the meaning.
"""

import ctypes
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_libc_renameat2 = _libc.renameat2  # looked up once: it is called for every file
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
# What file systems answer that lack a rename flag, hard links or syncfs.
_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

# f_type of those whose syncfs(2) is the documented one: ext2-4, XFS, Btrfs, tmpfs, F2FS, ZFS,
# bcachefs, overlayfs (linux/magic.h). For any other each file is synced by itself.
_SYNCFS_TRUSTED = frozenset(
    {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E, 0x794C7630}
)

_NO_LINKS = _NOT_SUPPORTED | {errno.EPERM, errno.EMLINK}


def _call(function: Callable[..., int], *args: Any) -> None:
    """Call into libc; audit hooks hear of it as of what the os module calls."""
    sys.audit(f"poststage.{function.__name__}", *args)
    if function(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# ---- opening -------------------------------------------------------------------------------


def open_dir(path: bytes, *, dir_fd: int | None = None) -> int:
    """A descriptor of the directory `path`, fit for fsync and syncfs. Follows symlinks."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)


def open_subdir(dir_fd: int, name: bytes) -> int:
    """A descriptor of the directory `name`, which is not a symlink (ELOOP or ENOTDIR if it is)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=dir_fd)


def open_file(dir_fd: int, name: bytes) -> int:
    """A descriptor of `name` for its attributes; never follows a link, never hangs on a FIFO.

    Readable if permissions allow; else O_PATH, which the attribute functions here take too.
    Not a promise that it is a regular file: look at fstat.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | flags, dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, os.O_PATH | flags, dir_fd=dir_fd)


@contextmanager
def opened_link(dir_fd: int, name: bytes) -> Iterator[int]:
    """A descriptor of the symlink `name` itself (O_PATH), for `set_owner` and `set_times`.

    Raises:
        OSError: EINVAL where `name` is no symlink; it is untouched.
    """
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not is_symlink(os.fstat(fd)):
            raise OSError(errno.EINVAL, "is not a symlink")
        yield fd
    finally:
        os.close(fd)


def create(dir_fd: int, name: bytes, *, mode: int) -> int:
    """Create `name` for appending; FileExistsError if anything has that name."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, mode, dir_fd=dir_fd)


def open_append(dir_fd: int, name: bytes, *, mode: int) -> int:
    """Open `name` for appending, created with `mode` if it is missing.

    Never follows a link, never waits for a FIFO's reader (ENXIO).
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    flags |= os.O_NONBLOCK | os.O_NOCTTY
    return os.open(name, flags, mode, dir_fd=dir_fd)


def open_temp(dir_fd: int, name: bytes, *, mode: int) -> int:
    """Open the temp file `name` to read and write; made with `mode` less the umask if missing.

    An existing one is opened as it is, also without permission to (its own user gives himself
    that for a moment). Not a promise that it is a regular file: look at fstat.
    """
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)
    except FileExistsError:
        pass
    try:
        return os.open(name, flags, dir_fd=dir_fd)
    except PermissionError:
        return _open_unpermitted(dir_fd, name, flags)


def _open_unpermitted(dir_fd: int, name: bytes, flags: int) -> int:
    path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        mode = stat.S_IMODE(os.fstat(path_fd).st_mode)
        set_mode(path_fd, mode | stat.S_IRUSR | stat.S_IWUSR)
        try:
            return os.open(_proc(path_fd), flags & ~os.O_NOFOLLOW)
        finally:
            set_mode(path_fd, mode)
    finally:
        os.close(path_fd)


def is_path_only(fd: int) -> bool:
    """Whether `fd` was opened with O_PATH (an unreadable file)."""
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH)


# ---- attributes, through the descriptor ----------------------------------------------------


def _magic(fd: int, error: OSError) -> bytes:
    """The name through which an O_PATH descriptor takes what it refuses itself with EBADF."""
    if error.errno != errno.EBADF:
        raise error
    return _proc(fd)


def _proc(fd: int) -> bytes:
    return b"/proc/self/fd/%d" % fd


def set_owner(fd: int, uid: int, gid: int) -> None:
    """fchown(2), also for an O_PATH descriptor. Strips setuid and setgid bits."""
    try:
        os.chown(fd, uid, gid)
    except OSError as error:
        os.chown(_magic(fd, error), uid, gid)


def set_mode(fd: int, mode: int) -> None:
    """fchmod(2), also for an O_PATH descriptor."""
    try:
        os.chmod(fd, mode)
    except OSError as error:
        os.chmod(_magic(fd, error), mode)


def set_times(fd: int, atime_ns: int, mtime_ns: int) -> None:
    """futimens(3), exact in ns, also for an O_PATH descriptor."""
    try:
        os.utime(fd, ns=(atime_ns, mtime_ns))
    except OSError as error:
        os.utime(_magic(fd, error), ns=(atime_ns, mtime_ns))


def set_link_owner(dir_fd: int, name: bytes, uid: int, gid: int) -> None:
    """Owner of a symlink itself."""
    os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)


def set_link_times(dir_fd: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
    """Times of a symlink itself."""
    os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)


# ---- names ---------------------------------------------------------------------------------


def facts(dir_fd: int, name: bytes) -> os.stat_result | None:
    """lstat of `name`; None if there is no such name."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def publish(dir_fd: int, temp: bytes, destination: bytes) -> None:
    """Give `temp` its destination name without replacing anything.

    renameat2(RENAME_NOREPLACE); link(2) then unlink(2) where the filesystem
    answers EINVAL (Lustre does). A crash between these leaves two names of one
    inode, which the planner recognises. Where there are no hard links either: a look,
    then rename(2); what takes the name in between is replaced. Not durable until the
    directory is synced.

    Raises:
        FileExistsError: the destination exists; both files are untouched.
    """
    try:
        _renameat2(dir_fd, temp, destination, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _publish_by_link(dir_fd, temp, destination)


def _publish_by_link(dir_fd: int, temp: bytes, destination: bytes) -> None:
    if try_link(dir_fd, temp, destination):
        os.unlink(temp, dir_fd=dir_fd)
        return
    if facts(dir_fd, destination) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    replace(dir_fd, temp, destination)


def replace(dir_fd: int, temp: bytes, destination: bytes) -> None:
    """rename(2): `temp` takes the name, what stood there loses it."""
    os.rename(temp, destination, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def move_into(dir_fd: int, name: bytes, to_dir_fd: int, new: bytes) -> None:
    """Move `name` into another directory of the filesystem; FileExistsError if `new` is taken.

    Falls back to rename(2) where the filesystem lacks RENAME_NOREPLACE; there only an
    empty directory could be replaced by a directory.
    """
    try:
        _call(_libc.renameat2, dir_fd, name, to_dir_fd, new, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        os.rename(name, new, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd)


def has_noreplace(dir_fd: int, name: bytes, new: bytes) -> bool:
    """renameat2(RENAME_NOREPLACE) of `name`; False where there is no such thing."""
    try:
        _renameat2(dir_fd, name, new, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        return False
    return True


def exchange(dir_fd: int, one: bytes, other: bytes) -> bool:
    """Swap two names in one step; False where the filesystem cannot (nothing was touched)."""
    try:
        _renameat2(dir_fd, one, other, _RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        return False
    return True


def _renameat2(dir_fd: int, old: bytes, new: bytes, flags: int) -> None:
    sys.audit("poststage.renameat2", dir_fd, old, dir_fd, new, flags)
    if _libc_renameat2(dir_fd, old, dir_fd, new, flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def link(dir_fd: int, existing: bytes, to_dir_fd: int, new: bytes) -> None:
    """link(2): a further name, also in another directory; never follows a symlink."""
    os.link(existing, new, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd, follow_symlinks=False)


def try_link(dir_fd: int, existing: bytes, new: bytes) -> bool:
    """`link` within one directory; False where the filesystem has no hard links."""
    try:
        link(dir_fd, existing, dir_fd, new)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def symlink(target: bytes, dir_fd: int, name: bytes) -> None:
    """symlink(2)."""
    os.symlink(target, name, dir_fd=dir_fd)


def unlink(dir_fd: int, name: bytes) -> None:
    """unlink(2): exactly this name; a directory is refused by the kernel."""
    os.unlink(name, dir_fd=dir_fd)


def remove_dir(dir_fd: int, name: bytes) -> None:
    """rmdir(2): only an empty directory."""
    os.rmdir(name, dir_fd=dir_fd)


def make_dir(dir_fd: int | None, name: bytes, mode: int) -> bool:
    """mkdir(2); False if the name is taken (by whatever)."""
    try:
        os.mkdir(name, mode, dir_fd=dir_fd)
    except FileExistsError:
        return False
    return True


# ---- durability ----------------------------------------------------------------------------


def sync_filesystem(fd: int) -> None:
    """syncfs(2) of the filesystem that `fd` lies on: data and metadata of all its files.

    Reports a write-back error only if it happened after `fd` was opened (Linux >= 5.8).

    Raises:
        OSError: ENOSYS where syncfs is not known to reach the disk: over FUSE it says 0 and
            the file system's own process never hears of it (fs/fuse/inode.c).
    """
    if not syncs_filesystem(fd):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    _call(_libc.syncfs, fd)


def syncs_filesystem(fd: int) -> bool:
    """Whether `sync_filesystem` is known to reach the disk that `fd` lies on."""
    return _type_of_filesystem(fd) in _SYNCFS_TRUSTED


def _type_of_filesystem(fd: int) -> int:
    """`f_type` of fstatfs(2), which os.fstatvfs leaves out."""
    info = (ctypes.c_long * 32)()  # struct statfs begins with it, and is 120 bytes
    if _libc.fstatfs(fd, ctypes.byref(info)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return info[0]


def sync(fd: int) -> None:
    """fsync(2). After a failure the state on disk is unknown: never try again and call it good."""
    sys.audit("poststage.fsync", fd)
    os.fsync(fd)


def start_writeback(fd: int, offset: int, count: int) -> None:
    """Let the disk begin with these bytes, so that a later fsync has less to wait for.

    sync_file_range(2) with SYNC_FILE_RANGE_WRITE; promises nothing, so nothing is reported.
    """
    _libc.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(count), 2)


def drop_cache(fd: int) -> None:
    """Forget the file's clean pages, so that the next read comes from the disk."""
    sys.audit("poststage.drop_cache", fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def has_writer(fd: int) -> bool:
    """Whether a process of this machine has the file open for writing (fcntl(2), leases).

    False also where nobody can tell: another machine's processes, a file system without
    leases, a file of another user's. `fd` is open for reading alone.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def is_regular(info: os.stat_result) -> bool:
    """Whether lstat or fstat saw a regular file."""
    return stat.S_ISREG(info.st_mode)


def is_symlink(info: os.stat_result) -> bool:
    """Whether lstat saw a symlink."""
    return stat.S_ISLNK(info.st_mode)
