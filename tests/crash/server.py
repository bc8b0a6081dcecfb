"""The fork server's own process: imports the targets once, then forks a child a job.

Jobs come as JSON lines on stdin, answers go as JSON lines to stdout. It is a
subreaper: whatever a child leaves behind is killed and waited for before the answer
`ended`, so that nothing of one run acts during the next.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main() -> None:
    """Serve until stdin ends."""
    for name in sys.argv[1:]:
        import_module(name)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    gc.collect()
    gc.freeze()
    _answer({"ready": True})
    for line in sys.stdin.buffer:
        _serve(json.loads(line))


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _serve(job: dict[str, Any]) -> None:
    if job["warm"]:
        _warm(job)
        return
    child = os.fork()
    if child == 0:
        _become(job)
    status = _wait(child, time.monotonic() + job["deadline_s"])
    _end_all()
    _answer({"ended": status})


def _warm(job: dict[str, Any]) -> None:
    """Run the target here: each child inherits the caches and the code it has warmed up."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        _function(job)(*job["arguments"])
    gc.collect()
    gc.freeze()
    _answer({"ended": 0})


def _function(job: dict[str, Any]) -> Callable[..., Any]:
    module, _, function = job["target"].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _become(job: dict[str, Any]) -> None:
    """The child: give up ids, run the target, leave without the server's clean-up."""
    code = 1
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for fd in (1, 2):
            os.dup2(output, fd)
        os.umask(job["umask"])
        if job["uid"] is not None:
            os.setgroups(job["groups"])
            os.setresgid(job["gid"], job["gid"], job["gid"])
            os.setresuid(job["uid"], job["uid"], job["uid"])
        code = int(_function(job)(*job["arguments"]) or 0)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process's edge; reported in its output
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, deadline: float) -> int | None:
    """The child's exit status (minus the signal that killed it); None if time was up."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            _answer({"stopped": child})
            sys.stdin.buffer.readline()  # the driver says when to go on
            os.kill(child, signal.SIGCONT)
        elif pid:
            return os.waitstatus_to_exitcode(status)
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _end_all() -> None:
    """Kill and reap whatever the child has left, generation by generation."""
    while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for pid in map(int, children):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
