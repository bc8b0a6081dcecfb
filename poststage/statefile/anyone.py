"""State files of whoever wrote them: which file is one, and what it says.

Ours are known by name. AXL's have any name and are found by their content, which is read
without leaving a trace in anybody's atime.
"""

import errno
import os
import re

import xxhash
from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.errors import StateFileError
from poststage.model import State
from poststage.statefile import axl, kvtree, verdicts
from poststage.statefile.layout import DONE_SUFFIX, FOREIGN_DONE_SUFFIX, STATE_SUFFIX
from poststage.statefile.reader import StateBuilder, fill, read_state

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILE = {errno.ELOOP, errno.ENOENT, errno.ENXIO}  # a symlink, gone, a socket
_PIECE = 1 << 20
_ALWAYS_THERE = b"STATE_FILE\0"  # AXL records the file's own name in it
# Other KVTree files of SCR's, and what a kill left of a new one: damaged they are none of AXL's.
_SCRS = re.compile(rb"(rank2file.*|.*\.scr(\.new)?)\Z", re.DOTALL)
# Of a file that was emptied nothing tells whose it was but its name.
_LIKELY = re.compile(rb"(?i)(\A|\.)(state|state_?file|axl)(\d*|[._-]\d+)\Z")


def is_foreign(dir_fd: int, name: bytes) -> bool:
    """Whether `name`, which is not called like one of ours, is a state file of AXL's.

    So is what looks like a damaged one; a whole KVTree file of another kind is not.

    Raises:
        OSError: it cannot be told, though it is ours to read.
    """
    try:
        fd = os.open(name, _OPEN | os.O_NOATIME, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _NO_FILE or _is_anothers(dir_fd, name, error):
            return False
        raise
    try:
        info = os.fstat(fd)
        if not fsops.is_regular(info):
            return False
        likely = _LIKELY.search(name) is not None
        if info.st_size < len(kvtree.MAGIC):
            return likely and kvtree.MAGIC.startswith(os.pread(fd, len(kvtree.MAGIC), 0))
        if is_kvtree(fd):
            return _is_axl(fd, info.st_size, name)
        return likely and _ALWAYS_THERE in os.pread(fd, _PIECE, 0)
    finally:
        os.close(fd)


def _is_anothers(dir_fd: int, name: bytes, error: OSError) -> bool:
    """Whether `error` says no more than that the file is somebody else's."""
    if error.errno not in {errno.EACCES, errno.EPERM} or os.geteuid() == 0:
        return False
    return os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_uid != os.geteuid()


def is_kvtree(fd: int) -> bool:
    """Whether the open file begins as KVTree files do."""
    return os.pread(fd, len(kvtree.MAGIC), 0) == kvtree.MAGIC


def _is_axl(fd: int, size: int, name: bytes) -> bool:
    if size > kvtree.FILE_MAX:
        return True  # damaged, as far as we are concerned
    raw = read_all(fd, size)
    if _ALWAYS_THERE in raw:
        return True
    try:
        kvtree.parse(raw)
    except ValueError:
        return _SCRS.match(name) is None
    return False


def read_all(fd: int, size: int) -> bytes:
    """At most `size` bytes from the start of the open file."""
    pieces, at = [], 0
    while at < size and (piece := os.pread(fd, min(_PIECE, size - at), at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


def read_any(
    dir_fd: int, fd: int, name: bytes, path: bytes, info: os.stat_result | None = None
) -> State | None:
    """The state file `name`, open at `fd`, with what was recorded beside it in `dir_fd`.

    `path` is for messages, `info` what fstat says of it. None as in `read_state`.

    Raises:
        StateFileError: it is damaged, or none; none of its files was touched.
        OSError: it cannot be read.
    """
    info = os.fstat(fd) if info is None else info
    ours = name.endswith((STATE_SUFFIX, DONE_SUFFIX))
    if ours:
        try:
            state = read_state(fd, path, info)
        except StateFileError:  # or one of theirs with a name like ours
            if not fsops.is_regular(info) or not is_kvtree(fd):
                raise
        else:
            if state is not None or not is_kvtree(fd):  # a short one of theirs has no whole line
                return state
    if fsops.is_regular(info) and is_kvtree(fd):
        try:
            return _foreign(dir_fd, fd, name)
        except ValueError as error:
            raise _damaged(path, str(error)) from error
    if info.st_size < len(kvtree.MAGIC):
        raise _damaged(path, "is empty: its writer was killed while it rewrote it in place")
    raise _damaged(path, "is not a state file")


def read_up_to_damage(dir_fd: int, fd: int, name: bytes) -> tuple[State | None, str]:
    """What the state file says up to its first damage, and the damage ("" for none).

    Raises:
        StateFileError: the verdicts beside it are damaged.
        OSError: it cannot be read.
    """
    if fsops.is_regular(os.fstat(fd)) and is_kvtree(fd):
        try:
            return _foreign(dir_fd, fd, name), ""
        except ValueError as error:
            return None, names.shown(str(error))
    builder, info = StateBuilder(), os.fstat(fd)
    damage = fill(builder, fd, info)
    torn = not damage and info.st_size > builder.whole_bytes
    return builder.state(fd, name, torn=torn), damage


def _foreign(dir_fd: int, fd: int, name: bytes) -> State:
    """AXL's transfer in the open file; ValueError if it is damaged."""
    info = os.fstat(fd)
    if info.st_size > kvtree.FILE_MAX:
        raise ValueError(f"is longer than {kvtree.FILE_MAX} bytes")
    raw = read_all(fd, info.st_size)
    id_ = xxhash.xxh3_64_hexdigest(raw)
    tree = kvtree.parse(raw)
    if not axl.is_state(tree):
        raise ValueError("is a KVTree file without a transfer in it")
    state = axl.state_of(tree, id_=id_, created_ns=info.st_mtime_ns)
    if name.endswith(FOREIGN_DONE_SUFFIX) or not state.recorded:
        return state
    ended = verdicts.read(dir_fd, name, id_=id_, entries=len(state.entries))
    return replace(state, ended=ended)


def _damaged(path: bytes, fact: str) -> StateFileError:
    return StateFileError(
        f"{names.shown(path)}: {names.shown(fact)}; none of its files was touched",
        hint="keep the file and the temp files that end in ._AXL; what it named can only be "
        "put in place by hand, or be sent again from where its source still is",
    )
