"""Becoming a plain user for a while: a forked child, whatever this process is."""

import os
import traceback
from collections.abc import Callable

import pytest

PLAIN = 12345
OTHER = 12346
"""Ids that need no account."""

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
user_only = pytest.mark.skipif(os.geteuid() == 0, reason="root is refused nothing here")


def as_user(
    action: Callable[[], object], *, uid: int = PLAIN, groups: tuple[int, ...] = ()
) -> None:
    """`action` in a child that is `uid` with the group of that number; a failure fails here.

    A process that is no root stays who it is.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - the edge of a process
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "see the child's traceback"
