"""The daemon as a process: started by double fork, one a root, stopped by SIGTERM."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from poststage.copier import protocol as p
from poststage.copier import root as roots
from poststage.copier import server
from poststage.copier.manners import Manners
from poststage.copier.queue import Queue
from poststage.copier.service import Service
from poststage.copier.workers import Workers
from poststage.durable import fsops
from poststage.errors import ExitCode, PoststageError, RunAgainError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 2.0  # for copies to end; a thread that hangs in the kernel is not waited for
_log = logging.getLogger("poststage.copier")


class Plan(Struct, frozen=True):
    """What a daemon is to be."""

    root: Path
    program: str
    make_manners: Callable[[int], Manners]
    """From the descriptor of the root."""
    threads: int = 2
    prove_bytes: int = 1 << 30
    idle_s: float = 0
    """Ends when it has had nothing to do for so long; 0 for never."""


def spawn(module: str, arguments: Sequence[str]) -> int:
    """Start `python -m module arguments` as a daemon; its pid, as soon as it answers.

    A fresh interpreter, since this one may have threads and an MPI in it.

    Raises:
        PoststageError: what the daemon says why it does not start.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    with subprocess.Popen(
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=START_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise RunAgainError(
                f"{module}: did not answer within {START_TIMEOUT_S:g} s; it may still start",
                hint="read the file `log` in its root",
            ) from error
    return _pid_of(module, said)


def _pid_of(module: str, said: bytes) -> int:
    try:
        answer = json.loads(said.splitlines()[-1])
        if "pid" in answer:
            return int(answer["pid"])
        failure = PoststageError(answer["message"], hint=answer["hint"])
        failure.exit_code = ExitCode(answer["exit_code"])
    except (ValueError, LookupError, TypeError) as error:
        text = said.decode("utf-8", "replace")[-2000:]
        raise PoststageError(f"{module}: ended before it answered: {text!r}") from error
    raise failure


def become(plan: Plan) -> NoReturn:
    """Turn this process, started by `spawn`, into the daemon; its parent reads stdout."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.closerange(3, _fd_limit())
    if os.fork():
        os._exit(0)
    try:
        run(plan, _ready)
    except PoststageError as error:
        _say(message=error.message, hint=error.hint, exit_code=int(error.exit_code))
    except OSError as error:
        _log.exception("the daemon ends")
        _say(message=f"root {plan.root}: {error}", hint="", exit_code=int(ExitCode.RUN_AGAIN))
    except BaseException:  # noqa: BLE001 - the process's edge: reported, and it ends
        _log.exception("the daemon ends")
        os._exit(int(ExitCode.BUG))
    os._exit(0)


def run(plan: Plan, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or a stop request; `ready` is called when it answers.

    Raises:
        PoststageError: another daemon has the root, or it cannot be used.
    """
    root_fd = roots.open_root(plan.root)
    with roots.locked(plan.root, root_fd):
        holder = roots.write_holder(root_fd)
        queue = Queue(roots.open_queue(root_fd), roots.identity(root_fd))
        queue.load()
        manners = plan.make_manners(root_fd)
        workers = Workers(manners, threads=plan.threads, prove_bytes=plan.prove_bytes)
        hello = p.HelloReply(
            p.VERSION, plan.program, holder.pid, holder.host, holder.since_ns, queue.root_id
        )
        service = Service(queue, workers, manners, hello)
        serving = server.Server(server.listen(root_fd), service, manners.delay_s)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: serving.stop())
        workers.begin()
        _go_on(queue, workers)
        ready(root_fd)
        _log.info("%s: pid %d serves", plan.program, holder.pid)
        serving.serve(partial(_may_end, plan, root_fd, queue))
        workers.stop(list(queue.books.values()), timeout_s=STOP_TIMEOUT_S)
        with suppress(FileNotFoundError):
            fsops.unlink(root_fd, roots.SOCKET)
        _log.info("%s: pid %d stops", plan.program, holder.pid)


def _may_end(plan: Plan, root_fd: int, queue: Queue, silent_s: float) -> bool:
    """Whether nobody can need the daemon: its root was removed, or it was idle for long."""
    with suppress(OSError):  # a file system that is away just now is no reason to end
        if os.fstat(root_fd).st_nlink == 0:
            return True
    return 0 < plan.idle_s <= silent_s and queue.is_idle()


def _go_on(queue: Queue, workers: Workers) -> None:
    for book in list(queue.books.values()):
        with book.changed:
            if book.transfer.end is None and (book.transfer.started or book.transfer.cancelled):
                workers.go_on(book)


def _ready(root_fd: int) -> None:
    """Tell the parent, and let go of everything that is its."""
    _say(pid=os.getpid())
    log_fd = fsops.open_append(root_fd, roots.LOG, mode=0o600)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _fd_limit() -> int:
    """The number of descriptors this process may have, raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
