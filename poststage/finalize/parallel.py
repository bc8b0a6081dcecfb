"""A run's state files shared out over forked processes, where there are enough of them.

Processes, not threads: on a local file system each call is short, and threads would hand
the interpreter's lock over at every one of them.
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from poststage.errors import ExitCode
from poststage.finalize.pending import Pending
from poststage.finalize.privs import die_with_parent
from poststage.finalize.window import Result, Windows, tally_of
from poststage.model import Verdict

_WORTH_A_PROCESS = 1024  # state files; a fork and its own open directories cost some ms
_JOBS_MOST = 8
_LOOK_S = 0.2  # between two looks whether to stop

Visit = Callable[[Windows, list[Pending]], Result]


def shared_out(
    make: Callable[[], Windows],
    here: Windows,
    pending: list[Pending],
    jobs: int,
    visit: Visit,
    stop: Callable[[], bool],
) -> Result:
    """`visit` over all of `pending`, in one process or several; one result.

    When `stop` says so, the processes get the signal by which this one was asked to stop.
    A process that dies spoils nothing but its share, which is reported as to be run again.
    """
    count = jobs or min(len(os.sched_getaffinity(0)), len(pending) // _WORTH_A_PROCESS, _JOBS_MOST)
    if count <= 1 or len(pending) < 2:
        return visit(here, pending)
    context = multiprocessing.get_context("fork")
    shares = [pending[k::count] for k in range(count)]
    pipes: dict[Connection, list[Pending]] = {}
    processes = []
    for share in shares:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(make, share, visit, send), daemon=True)
        process.start()
        send.close()
        processes.append(process)
        pipes[receive] = share
    total = Result({}, [], [])
    while pipes:
        for pipe in wait(list(pipes), timeout=_LOOK_S):
            assert isinstance(pipe, Connection)
            _add(total, _received(pipe, pipes.pop(pipe)))
        if stop():
            for process in processes:
                process.terminate()
    return total


def _child(
    make: Callable[[], Windows], share: list[Pending], visit: Visit, send: Connection
) -> None:
    die_with_parent(signal.SIGKILL)  # a stopped one would outlive the deadline
    windows = make()
    try:
        send.send(visit(windows, share))
    except Exception:  # noqa: BLE001 - the edge of a process; the parent reports the silence
        traceback.print_exc()
    finally:
        windows.close()


def _received(pipe: Connection, share: list[Pending]) -> Result:
    try:
        result = pipe.recv()
        assert isinstance(result, Result)
        return result
    except EOFError:
        lost = Result({}, [], [])
        for one in share:
            tally = tally_of(lost, one.directory)
            tally.codes.add(ExitCode.RUN_AGAIN)
            text = "the worker process that had it ended; run again"
            tally.add_problem(Verdict.UNKNOWN, text, state_file=one.path)
        return lost
    finally:
        pipe.close()


def _add(total: Result, result: Result) -> None:
    for directory, tally in result.tallies.items():
        tally_of(total, directory).merge(tally)
    total.waiting += result.waiting
    total.deferred += result.deferred
