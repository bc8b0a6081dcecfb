"""What a user may plant under a name: each kind of thing that is no regular file."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

Plant = Callable[[Path], None]


def fifo(path: Path) -> None:
    """Opening it for reading would wait for a writer."""
    os.mkfifo(path)


def symlink(path: Path) -> None:
    """To a file that everybody can read."""
    path.symlink_to("/etc/passwd")


def loop(path: Path) -> None:
    """A symlink to itself."""
    path.symlink_to(path.name)


def unix_socket(path: Path) -> None:
    """Opening it is refused with ENXIO."""
    dir_fd = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(f"/proc/self/fd/{dir_fd}/{path.name}")
    os.close(dir_fd)


def directory(path: Path) -> None:
    """With something in it."""
    path.mkdir()
    path.joinpath("inside").write_bytes(b"x")


PLANTS: dict[str, Plant] = {
    "a fifo": fifo,
    "a symlink": symlink,
    "a symlink to itself": loop,
    "a socket": unix_socket,
    "a directory": directory,
}
