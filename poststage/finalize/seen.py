"""What was observed of one entry: frozen facts that `plan` decides on."""

import os
import stat

from msgspec import Struct

from poststage.model import Entry, Identity, Meta, Named


class Fate(Named):
    """What the backend (or its absence) says of one file."""

    DONE = "done"
    """Its bytes were all moved."""
    FAILED = "failed"
    """Its transfer failed, was cancelled or never started; nobody writes it any more."""
    PENDING = "pending"
    """It may still be written."""
    UNPROVEN = "unproven"
    """The transfer ended badly and the backend does not tell files apart."""
    UNKNOWN = "unknown"
    """No answer."""


class Facts(Struct, frozen=True):
    """lstat or fstat of one name. `kind` is stat.S_IFMT of its mode."""

    ino: int
    nlink: int
    kind: int
    meta: Meta
    ctime_ns: int = 0

    @property
    def regular(self) -> bool:
        """A regular file."""
        return self.kind == stat.S_IFREG

    @property
    def directory(self) -> bool:
        """A directory."""
        return self.kind == stat.S_IFDIR

    @property
    def symlink(self) -> bool:
        """A symlink."""
        return self.kind == stat.S_IFLNK


class Seen(Struct, frozen=True):
    """One FILE entry, what its backend says of it, and what stands at its names."""

    entry: Entry
    fate: Fate
    reason: str = ""
    """The backend's words for a fate other than DONE."""
    temp: Facts | None = None
    looked: bool = True
    """Whether `destination` was looked at; it is not where nothing was recorded there."""
    destination: Facts | None = None
    aside: Facts | None = None
    """What stands at the conflict name (looked at only where it can matter)."""
    aside_name: bytes = b""
    """Which conflict name that is."""
    directory_missing: bool = False
    closed_mtime_ns: int | None = None
    """The temp file's mtime when the backend closed it."""
    euid: int = 0
    """Who is looking: the temp file belongs to this user or to the recorded owner."""


def facts_of(info: os.stat_result) -> Facts:
    """The facts in a stat result."""
    mode = info.st_mode
    meta = Meta(
        info.st_size, info.st_uid, info.st_gid, mode & 0o7777, info.st_atime_ns, info.st_mtime_ns
    )
    return Facts(info.st_ino, info.st_nlink, stat.S_IFMT(mode), meta, info.st_ctime_ns)


def same_but_atime(one: Meta, other: Meta) -> bool:
    """Equal in size, owner, mode and mtime (reading a file changes its atime)."""
    return (
        one.mtime_ns == other.mtime_ns
        and one.size == other.size
        and one.uid == other.uid
        and one.gid == other.gid
        and one.mode == other.mode
    )


def is_prior(facts: Facts, prior: Identity | None) -> bool:
    """Whether `facts` is the very file that stood there when the transfer was created."""
    return (
        prior is not None
        and facts.ino == prior.ino
        and facts.meta.size == prior.size
        and facts.meta.mtime_ns == prior.mtime_ns
    )
