"""Directory trees as values: looked at without disturbing them, and laid out again."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

Tree = Mapping[bytes, "Node"]
"""Path below the root (`b""` is the root itself) → what is there."""


class Node(Struct, frozen=True):
    """What one name shows. Times in ns; `content` is a symlink's target, too."""

    kind: int
    """`stat.S_IFMT` of its mode."""
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    content: bytes = b""
    ino: int = 0
    links: int = 1


def file(
    content: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = -1,
    gid: int = -1,
    atime_ns: int = 10**9,
    mtime_ns: int = 2 * 10**9,
) -> Node:
    """A regular file; -1 for our own ids."""
    uid = os.geteuid() if uid == -1 else uid
    gid = os.getegid() if gid == -1 else gid
    return Node(stat.S_IFREG, mode, uid, gid, atime_ns, mtime_ns, content)


def directory(*, mode: int = 0o755, uid: int = -1, gid: int = -1) -> Node:
    """A directory; -1 for our own ids."""
    return replace(file(mode=mode, uid=uid, gid=gid), kind=stat.S_IFDIR)


def look(root: Path) -> Tree:
    """The tree below `root`, without a change to any atime, mode-000 files included."""
    tree: dict[bytes, Node] = {}
    _look(os.fsencode(root), b"", tree)
    return tree


def _look(root: bytes, name: bytes, tree: dict[bytes, Node]) -> None:
    path = root + b"/" + name if name else root
    info = os.lstat(path)
    content = _content(path, info)
    kind, mode = stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode)
    times = (info.st_atime_ns, info.st_mtime_ns)
    links = 1 if stat.S_ISDIR(info.st_mode) else info.st_nlink
    node = Node(kind, mode, info.st_uid, info.st_gid, *times, content, info.st_ino, links)
    tree[name] = node
    if stat.S_ISDIR(info.st_mode):
        for child in sorted(os.listdir(path)):
            _look(root, name + b"/" + child if name else child, tree)


def _content(path: bytes, info: os.stat_result) -> bytes:
    if stat.S_ISLNK(info.st_mode):
        target = os.readlink(path)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
        return target
    if not stat.S_ISREG(info.st_mode):
        return b""
    flags = os.O_RDONLY | os.O_NOATIME | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags)
    except PermissionError:  # our own mode-000 file, and we are no root
        os.chmod(path, info.st_mode | stat.S_IRUSR)
        fd = os.open(path, flags)
        os.chmod(path, stat.S_IMODE(info.st_mode))
    with open(fd, "rb") as file:
        return file.read()


def clear(root: Path) -> None:
    """Remove `root` and all below it, if it is there."""
    if root.exists():
        for path, _, _ in os.walk(root):
            if os.geteuid() != 0:
                os.chmod(path, 0o700)
        shutil.rmtree(root)


def lay(root: Path, tree: Tree) -> None:
    """Make `root` hold exactly `tree`; nodes of one inode number (not 0) become hard links."""
    clear(root)
    seen: dict[int, bytes] = {}
    for name, node in sorted(tree.items()):
        path = os.path.join(os.fsencode(root), name) if name else os.fsencode(root)
        if node.ino and node.ino in seen and node.links > 1:
            os.link(seen[node.ino], path, follow_symlinks=False)
            continue
        seen[node.ino] = path
        _make(path, node)
    for name, node in sorted(tree.items(), reverse=True):
        _dress(os.path.join(os.fsencode(root), name) if name else os.fsencode(root), node)


def _make(path: bytes, node: Node) -> None:
    if node.kind == stat.S_IFDIR:
        os.mkdir(path)
    elif node.kind == stat.S_IFLNK:
        os.symlink(node.content, path)
    else:
        with open(path, "xb") as file:
            file.write(node.content)


def _dress(path: bytes, node: Node) -> None:
    if (node.uid, node.gid) != (os.geteuid(), os.getegid()):
        os.chown(path, node.uid, node.gid, follow_symlinks=False)
    if node.kind != stat.S_IFLNK:
        os.chmod(path, node.mode)
    os.utime(path, ns=(node.atime_ns, node.mtime_ns), follow_symlinks=False)


def unlike(one: Node, other: Node | None) -> bool:
    """Whether content, ids, mode or mtime differ (a directory's mtime is its entries')."""
    if other is None:
        return True
    plain = [replace(node, atime_ns=0, ino=0, links=1) for node in (one, other)]
    if one.kind == stat.S_IFDIR:
        plain = [replace(node, mtime_ns=0) for node in plain]
    return plain[0] != plain[1]


def shown(node: Node | None) -> str:
    """`node` in few words, for a message."""
    if node is None:
        return "absent"
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
    content = node.content if len(node.content) < 20 else f"{len(node.content)} bytes"
    return (
        f"{kind.get(node.kind, oct(node.kind))} {node.mode:o} {node.uid}:{node.gid}"
        f" atime {node.atime_ns} mtime {node.mtime_ns} links {node.links} {content!r}"
    )
