"""A kernel that kills or refuses: audit hooks in a forked child, since they cannot be taken back.

Audit hooks hear of every call that changes a name or an attribute before it is made (what goes
to libc past the os module tells of itself in durable/fsops.py). So a hook that exits is a kill
at that point, and one that raises is a file system that answers with that errno. The code under
test is as it is, and so are the files.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from msgspec import Struct

KILLED = 137
_CHANGES = frozenset(
    {"os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.symlink"}
    | {"os.utime", "os.truncate", "poststage.renameat2"}
)

_SHORT = {
    **{event: event.partition(".")[2] for event in _CHANGES},
    **{f"poststage.{name}": name for name in ("fsync", "syncfs", "drop_cache")},
}


class Kernel(Struct, frozen=True):
    """What a file system lacks, and before which change of it the process is killed."""

    name: str = "everything"
    rename_flags: bool = True
    hard_links: bool = True
    kill_at: int = 0
    """From 1; 0 for never."""

    def run(self, action: Callable[[], object]) -> bool:
        """`action` in a child; whether it came to its end. A failure of it fails here."""
        pid = os.fork()
        if pid == 0:
            self._child(action)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in {0, KILLED}, f"the child ended with {code}; see its traceback"
        return code == 0

    def _child(self, action: Callable[[], object]) -> None:
        code = 1
        try:
            sys.addaudithook(_Hook(self))
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - the edge of a process
            traceback.print_exc()
        finally:
            os._exit(code)


class _Hook:
    """One child's hook."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.changes = kernel, 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        del args
        if event == "poststage.renameat2" and not self.kernel.rename_flags:
            raise OSError(errno.EINVAL, "no such flag here")
        if event == "os.link" and not self.kernel.hard_links:
            raise PermissionError(errno.EPERM, "no hard links here")
        if event in _CHANGES:
            self.changes += 1
            if self.changes == self.kernel.kill_at:
                os._exit(KILLED)


EVERYTHING = Kernel()


def calls_of(action: Callable[[], object], kernel: Kernel = EVERYTHING) -> list[str]:
    """What `action` (in a child) tells audit hooks of changes and syncs, in its order."""
    receive, send = os.pipe()

    def told() -> None:
        calls: list[str] = []
        sys.addaudithook(lambda event, _: calls.append(event))
        action()
        os.write(send, " ".join(_SHORT.get(call, "") for call in calls).encode())

    assert kernel.run(told)
    os.close(send)
    with os.fdopen(receive) as pipe:
        return pipe.read().split()


KERNELS = (
    EVERYTHING,
    Kernel("no rename flags", rename_flags=False),
    Kernel("neither rename flags nor hard links", rename_flags=False, hard_links=False),
)
