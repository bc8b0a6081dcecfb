"""What the system lets one process have: descriptors, getrlimit(2), and threads."""

import resource
import sys
import threading
from collections.abc import Iterable

_DESCRIPTORS = 4096


def descriptors() -> int:
    """How many this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def more_descriptors() -> None:
    """Let there be as many as may be: each thread keeps some directories open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def startable(threads: int) -> int:
    """How many of so many threads can be started, at least this one; they are, for a moment.

    A limit of processes (RLIMIT_NPROC, a cgroup's pids.max) counts them, and another process may
    take what was free.
    """
    if threads <= 1:
        return 1
    over = threading.Event()
    started = list(_started(threads, over))
    over.set()
    for thread in started:
        thread.join()
    return max(1, len(started))


def _started(threads: int, over: threading.Event) -> Iterable[threading.Thread]:
    for _ in range(threads):
        thread = threading.Thread(target=over.wait, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # can't start new thread
            return
        yield thread
