"""A run's state files shared out over forked processes and threads, where that pays.

Processes where each call is short: threads would hand the interpreter's lock over at every one
of them. Threads where calls wait for a server: there may be many, and each waits for itself.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from multiprocessing.connection import Connection, wait

from msgspec import Struct

from poststage.errors import ExitCode
from poststage.finalize.pending import Pending
from poststage.finalize.privs import die_with_parent
from poststage.finalize.window import Result, Windows, tally_of
from poststage.finalize.work import Pool
from poststage.model import Verdict

_WORTH_A_PROCESS = 1024  # state files; a fork and its own open directories cost some ms
_PROCESSES_MOST = 8
_THREADS_MOST = 64  # of one process: more are no faster
_SLOW_S = 100e-6  # a call that takes longer waits for somebody else
_WAIT_A_THREAD_S = 20e-6  # of a call's time is the interpreter's, and one thread's at a time
_STATES_AT_ONCE = 64  # taken by a thread, of all that are left
_LOOK_S = 0.2  # between two looks whether to stop

Make = Callable[[int, Pool | None], Windows]
"""Windows for one of so many threads of this process, with those that help it."""
Visit = Callable[[Windows, Collection[Pending]], Result]


class Crew(Struct, frozen=True):
    """How many work at once."""

    processes: int
    threads: int
    """Of each process."""


def crew(jobs: int, states: int, call_s: float) -> Crew:
    """`jobs` at once (0 chooses) for so many state files, where one call takes `call_s`."""
    if call_s < _SLOW_S:
        cpus = len(os.sched_getaffinity(0))
        few = min(cpus, states // _WORTH_A_PROCESS, _PROCESSES_MOST)
        return Crew(max(1, min(jobs or few, states)), 1)
    many = jobs or min(_THREADS_MOST, int(call_s / _WAIT_A_THREAD_S))
    processes = min(-(-many // _THREADS_MOST), max(1, states))
    return Crew(processes, -(-many // processes))


def shared_out(
    make: Make, pending: Collection[Pending], chosen: Crew, visit: Visit, stop: Callable[[], bool]
) -> Result:
    """`visit` over all of `pending`, by so many at once; one result.

    When `stop` says so, the processes get the signal by which this one was asked to stop.
    One that dies spoils nothing but its share, which is reported as to be run again.
    """
    if chosen.processes <= 1:
        return _by_threads(make, pending, chosen.threads, visit)
    context = multiprocessing.get_context("fork")
    shares = [Share(pending, k, chosen.processes) for k in range(chosen.processes)]
    pipes: dict[Connection, Share] = {}
    processes = []
    for share in shares:
        receive, send = context.Pipe(duplex=False)
        arguments = (make, share, chosen.threads, visit, send)
        process = context.Process(target=_child, args=arguments, daemon=True)
        process.start()
        send.close()
        processes.append(process)
        pipes[receive] = share
    total = Result({}, [], [])
    while pipes:
        for pipe in wait(list(pipes), timeout=_LOOK_S):
            assert isinstance(pipe, Connection)
            total.add(_received(pipe, pipes.pop(pipe)))
        if stop():
            for process in processes:
                process.terminate()
    return total


class Share(Collection[Pending]):
    """Each `step`th of `pending` from the `first` on; a list of its own is not made."""

    def __init__(self, pending: Collection[Pending], first: int, step: int) -> None:
        self._pending, self._first, self._step = pending, first, step

    def __iter__(self) -> Iterator[Pending]:
        return islice(self._pending, self._first, None, self._step)

    def __len__(self) -> int:
        return len(range(self._first, len(self._pending), self._step))

    def __contains__(self, one: object) -> bool:
        return any(one is mine for mine in self)


def _child(make: Make, share: Share, threads: int, visit: Visit, send: Connection) -> None:
    die_with_parent(signal.SIGKILL)  # a stopped one would outlive the deadline
    try:
        send.send(_by_threads(make, share, threads, visit))
    except Exception:  # noqa: BLE001 - the edge of a process; the parent reports the silence
        traceback.print_exc()


def _by_threads(make: Make, pending: Collection[Pending], threads: int, visit: Visit) -> Result:
    """Each thread takes the next few state files; those that would find none help the others."""
    takers = max(1, min(threads, len(pending)))
    with ExitStack() as stack:
        helpers = threads - takers
        pool = stack.enter_context(ThreadPoolExecutor(helpers)) if helpers else None
        if takers == 1:
            return _visited(make(1, pool), visit, pending)
        taking = _Taking(pending, takers)
        crew_of_threads = stack.enter_context(ThreadPoolExecutor(takers))
        done = [crew_of_threads.submit(taking.run, make, pool, visit) for _ in range(takers)]
        total = Result({}, [], [])
        for one in done:
            total.add(one.result())
        return total


def _visited(windows: Windows, visit: Visit, some: Collection[Pending]) -> Result:
    try:
        return visit(windows, some)
    finally:
        windows.close()


class _Taking:
    """State files that several threads take, the next few each."""

    def __init__(self, pending: Collection[Pending], takers: int) -> None:
        self._left, self._lock, self._takers = iter(pending), threading.Lock(), takers
        self._few = max(1, min(_STATES_AT_ONCE, len(pending) // (4 * takers)))

    def run(self, make: Make, pool: Pool | None, visit: Visit) -> Result:
        """What one thread does."""
        windows, total = make(self._takers, pool), Result({}, [], [])
        try:
            while some := self._next():
                try:
                    total.add(visit(windows, some))
                except Exception:  # noqa: BLE001 - as of a process: it spoils its share alone
                    traceback.print_exc()
                    total.add(_lost(some))
        finally:
            windows.close()
        return total

    def _next(self) -> list[Pending]:
        with self._lock:
            return list(islice(self._left, self._few))


def _received(pipe: Connection, share: Share) -> Result:
    try:
        result = pipe.recv()
        assert isinstance(result, Result)
        return result
    except EOFError:
        return _lost(share)
    finally:
        pipe.close()


def _lost(share: Collection[Pending]) -> Result:
    """What comes of state files whose worker has ended without a word."""
    lost = Result({}, [], [])
    for one in share:
        tally = tally_of(lost, one.directory)
        tally.codes.add(ExitCode.RUN_AGAIN)
        text = "the worker process that had it ended; run again"
        tally.add_problem(Verdict.UNKNOWN, text, state_file=one.path)
    return lost
