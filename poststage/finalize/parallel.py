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
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from msgspec import Struct

from poststage.errors import ExitCode
from poststage.finalize.limits import descriptors, startable
from poststage.finalize.pending import Pending
from poststage.finalize.privs import die_with_parent
from poststage.finalize.scan import part_of
from poststage.finalize.window import Result, Windows, tally_of
from poststage.finalize.work import Pool
from poststage.model import Verdict

_WORTH_A_PROCESS = 1024  # state files; a fork and its own open directories cost some ms
_PROCESSES_MOST = 8
_THREADS_MOST = 64  # of one process: more are no faster
_DESCRIPTORS_LEAST = 16  # of one thread
_SLOW_S = 100e-6  # a call that takes longer waits for somebody else
_WAIT_A_THREAD_S = 20e-6  # of a call's time is the interpreter's, and one thread's at a time
_STATES_AT_ONCE = 64  # taken by a thread, of all that are left
_LOOK_S = 0.2  # between two looks whether to stop

Make = Callable[[int, Pool | None], AbstractContextManager[Windows]]
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
    most = max(1, descriptors() // _DESCRIPTORS_LEAST)
    return Crew(processes, min(most, -(-many // processes)))


class Host(Protocol):
    """Lets other ranks take state files as well."""

    ranks: int

    def lend(self, taking: "Taking") -> None:
        """Let them take of `taking`."""

    def settled(self, taking: "Taking", stop: Callable[[], bool]) -> bool:
        """Wait for them; False if something was given back."""

    def collected(self) -> Result:
        """What came of all that was lent."""


def shared_out(
    make: Make,
    pending: Collection[Pending],
    chosen: Crew,
    visit: Visit,
    stop: Callable[[], bool],
    host: Host | None = None,
) -> Result:
    """`visit` over all of `pending`, by so many at once and by those of `host`; one result.

    When `stop` says so, the processes get the signal by which this one was asked to stop.
    One that dies spoils nothing but its share, which is reported as to be run again.
    """
    if host is not None:
        return _with_host(make, pending, chosen.threads, visit, host, stop)
    if chosen.processes <= 1:
        return _by_threads(make, pending, chosen.threads, visit)
    return _by_processes(make, pending, chosen, visit, stop)


def _by_processes(
    make: Make, pending: Collection[Pending], chosen: Crew, visit: Visit, stop: Callable[[], bool]
) -> Result:
    pipes: dict[Connection, Share] = {}
    processes, left = [], []
    for share in (Share(pending, k, chosen.processes) for k in range(chosen.processes)):
        try:
            process, receive = _forked(make, share, chosen.threads, visit)
        except OSError:  # no more processes are to be had
            left.append(share)
        else:
            processes.append(process)
            pipes[receive] = share
    total = Result({}, [], [])
    for share in left:
        total.add(_by_threads(make, share, chosen.threads, visit))
    while pipes:
        for pipe in wait(list(pipes), timeout=_LOOK_S):
            assert isinstance(pipe, Connection)
            total.add(_received(pipe, pipes.pop(pipe)))
        if stop():
            for process in processes:
                process.terminate()
    return total


def _forked(
    make: Make, share: "Share", threads: int, visit: Visit
) -> tuple[BaseProcess, Connection]:
    """A process that works on `share`, and where its result comes from."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    with send:
        arguments = (make, share, threads, visit, send)
        process = context.Process(target=_child, args=arguments, daemon=True)
        try:
            process.start()
        except OSError:
            receive.close()
            raise
    return process, receive


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


def _with_host(
    make: Make,
    pending: Collection[Pending],
    threads: int,
    visit: Visit,
    host: Host,
    stop: Callable[[], bool],
) -> Result:
    threads = startable(threads)
    taking = Taking(pending, max(1, min(threads, len(pending))), host.ranks)
    host.lend(taking)
    total = taking.by_all(make, threads, visit)
    while not host.settled(taking, stop):
        total.add(taking.by_all(make, threads, visit))
    total.add(host.collected())
    return total


def _by_threads(make: Make, pending: Collection[Pending], threads: int, visit: Visit) -> Result:
    """Each thread takes the next few state files; those that would find none help the others."""
    threads = startable(threads)
    takers = max(1, min(threads, len(pending)))
    if takers > 1:
        return Taking(pending, takers).by_all(make, threads, visit)
    with _helpers(threads - 1) as pool, make(1, pool) as windows:
        return visit(windows, pending)


@contextmanager
def _helpers(number: int) -> Iterator[Pool | None]:
    if number < 1:
        yield None
        return
    with ThreadPoolExecutor(number) as pool:
        yield pool


class Taking:
    """State files that several threads take, the next few each."""

    def __init__(self, pending: Collection[Pending], takers: int, ranks: int = 1) -> None:
        self._rest, self._left, self._lock = iter(pending), len(pending), threading.Lock()
        self._takers, self._ranks = takers, ranks
        self.returned: list[Pending] = []
        """Given back by a rank that has gone."""

    def by_all(self, make: Make, threads: int, visit: Visit) -> Result:
        """What all threads of this process make of it."""
        if self._takers == 1 == threads:
            return self._run(make, None, visit)
        total = Result({}, [], [])
        with (
            _helpers(threads - self._takers) as pool,
            ThreadPoolExecutor(self._takers) as executor,
        ):
            done = [executor.submit(self._run, make, pool, visit) for _ in range(self._takers)]
            for one in done:
                total.add(one.result())
        return total

    def _run(self, make: Make, pool: Pool | None, visit: Visit) -> Result:
        total = Result({}, [], [])
        with make(self._takers, pool) as windows:
            while some := self._next():
                try:
                    total.add(visit(windows, some))
                except Exception:  # noqa: BLE001 - as of a process: it spoils its share alone
                    traceback.print_exc()
                    total.add(lost(some))
        return total

    def next_for_guest(self) -> list[Pending]:
        """As many as all threads of this process take at once."""
        with self._lock:
            return self._take(self._takers)

    def give_back(self, some: list[Pending]) -> None:
        """Let others take them."""
        with self._lock:
            self.returned += some

    def _next(self) -> list[Pending]:
        with self._lock:
            if not self.returned:
                return self._take(1)
            few, self.returned = self.returned[:1], self.returned[1:]
            return few

    def _take(self, threads: int) -> list[Pending]:
        """The next few for so many threads: ever fewer, so that all end at the same time."""
        few = max(1, min(_STATES_AT_ONCE, self._left // (4 * self._takers * self._ranks)))
        some = list(islice(self._rest, few * threads))
        self._left -= len(some)
        return some


def _received(pipe: Connection, share: Share) -> Result:
    try:
        result = pipe.recv()
        assert isinstance(result, Result)
        return result
    except EOFError:
        return lost(share)
    finally:
        pipe.close()


def lost(share: Collection[Pending]) -> Result:
    """What comes of state files whose worker has ended without a word."""
    lost = Result({}, [], [])
    for one in share:
        tally = tally_of(lost, one.directory)
        tally.codes.add(ExitCode.RUN_AGAIN)
        text = "the worker process that had it ended; run again"
        tally.add_problem(Verdict.UNKNOWN, text, state_file=one.path)
        part = part_of(one.name)
        if part is not None:
            tally.seen.add(part)  # it is there, whatever came of it
    return lost
