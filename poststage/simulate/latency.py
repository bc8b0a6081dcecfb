"""Playing another file system's latency: each call that its servers answer waits first.

Only for a process that does nothing else: the functions of `os` themselves are exchanged.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any

from poststage.durable import fsops

# What a client of a parallel file system asks a server for. Not fstat and close: what was just
# opened is known, and nobody waits for a close.
ASKING = (
    *("open", "stat", "lstat", "readlink", "scandir", "listdir", "read", "pread", "fsync"),
    *("chmod", "chown", "utime", "rename", "link", "unlink", "symlink", "mkdir", "rmdir"),
)
# What fsops calls past the os module: renameat2, and syncfs among others.
_OF_LIBC = ("_renameat2", "_call")


@contextmanager
def played(seconds: float) -> Iterator[None]:
    """For the block, in this process and those that it forks, each such call takes longer."""
    with held_back(lambda call: time.sleep(seconds)) if seconds else nullcontext():
        yield


@contextmanager
def held_back(wait: Callable[[str], None]) -> Iterator[None]:
    """For the block, `wait` is called before each such call, with its name."""
    kept = {name: getattr(os, name) for name in ASKING}
    of_libc = {name: getattr(fsops, name) for name in _OF_LIBC}
    try:
        for name, function in kept.items():
            setattr(os, name, _after(wait, function))
        for name, function in of_libc.items():
            setattr(fsops, name, _after(wait, function))
        yield
    finally:
        for name, function in of_libc.items():
            setattr(fsops, name, function)
        for name, function in kept.items():
            setattr(os, name, function)


def _after(wait: Callable[[str], None], function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def waiting(*args: Any, **options: Any) -> Any:
        wait(function.__name__)
        return function(*args, **options)

    return waiting
