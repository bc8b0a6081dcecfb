"""The forked worker that finalizes, and the parent that bounds it.

The parent never touches what the user controls: it waits, hands signals on, kills the
worker when the deadline is over, and reads one bounded report from a pipe.
"""

import errno
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import msgspec

from poststage import backends
from poststage.config import Settings
from poststage.errors import ExitCode, PermissionRefusedError, PoststageError, RunAgainError
from poststage.finalize.heard import Pipes, received, saying
from poststage.finalize.limits import more_descriptors
from poststage.finalize.options import Options
from poststage.finalize.privs import Owner, become
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir
from poststage.finalize.work import deadline
from poststage.names import shown

_GRACE_S = 5.0  # a worker stops at the next file; this is for the last sync
_DYING_S = 2.0  # for a killed worker to be gone
_LEASH_LOOK_S = 0.02
_GC_OBJECTS = 100_000
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Whom = Owner | None | Callable[[], Owner | None]
Finalize = Callable[[Path, Options, Callable[[], bool]], Report]


class _Failure(msgspec.Struct, frozen=True):
    message: str
    hint: str
    exit_code: int


def finalize_as(
    whom: Whom,
    state_dir: Path,
    options: Options,
    *,
    grace_s: float = _GRACE_S,
    finalize: Finalize = finalize_dir,
) -> Report:
    """`finalize` in a worker that is `whom` (None: whoever runs this).

    A function is called in the worker: looking at STATEDIR may take for ever as well, where
    its file system does not answer.

    The worker is killed `grace_s` seconds after the deadline.

    Raises:
        PoststageError: what the worker raised.
        RunAgainError: the worker died or did not end by the deadline.
    """
    receive, send = os.pipe2(os.O_CLOEXEC)
    leash, held = os.pipe2(os.O_CLOEXEC)
    heard, said = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    # Until both have their handlers, a signal waits.
    signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.valid_signals()))
    pid = os.fork()
    if pid == 0:
        for fd in (receive, held, heard):
            os.close(fd)
        quiet = options.waits is None
        mine = options if quiet else msgspec.structs.replace(options, waits=saying(said))
        _worker(send, leash, whom, state_dir, mine, finalize)
    for fd in (send, leash, said):
        os.close(fd)
    try:
        pipes = Pipes(receive, heard, options.waits or (lambda count: None))
        return outcome(_collected(pid, pipes, options.deadline_s + grace_s))
    finally:
        for fd in (receive, held, heard):
            os.close(fd)


def _worker(
    send: int, leash: int, whom: Whom, state_dir: Path, options: Options, finalize: Finalize
) -> None:
    """Never returns."""
    code = 1
    gc.freeze()  # nothing of before is garbage, and little of what comes is part of a cycle
    gc.set_threshold(_GC_OBJECTS)
    more_descriptors()
    try:
        answer = answered(whom, state_dir, options, _stopping(leash), finalize)
        with suppress(BrokenPipeError), os.fdopen(send, "wb") as pipe:  # the parent was killed
            pipe.write(answer)
        code = 0
    except BaseException:  # noqa: BLE001 - the edge of the process
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def answered(
    whom: Whom,
    state_dir: Path,
    options: Options,
    stop: Callable[[], bool],
    finalize: Finalize = finalize_dir,
) -> bytes:
    """Become `whom` for good and `finalize`; what `outcome` reads: a report, or an error."""
    try:
        owner = whom() if callable(whom) else whom
        trusted = owner is not None and owner.trusted
        if owner is not None and not trusted:
            _import_all(options.settings)
            become(owner)
        chosen = msgspec.structs.replace(options, restore_owners=trusted)
        return b"R" + msgspec.json.encode(finalize(state_dir, chosen, stop))
    except PoststageError as error:
        return _encoded(error)
    except OSError as error:
        return _encoded(_of_machine(error, state_dir))


def _import_all(settings: Settings) -> None:
    """Import what the work may come to need: the owner may not be able to read the interpreter."""
    import encodings.idna  # noqa: F401 - where ranks look each other's host up
    import multiprocessing.popen_fork  # noqa: F401 - where several work at once

    import xxhash  # noqa: F401 - where a checksum was recorded

    backends.preload(settings)


def _encoded(error: PoststageError) -> bytes:
    return b"E" + msgspec.json.encode(_Failure(error.message, error.hint, int(error.exit_code)))


def _of_machine(error: OSError, state_dir: Path) -> PoststageError:
    """What the operating system refused for the whole run, in words."""
    refused = isinstance(error, PermissionError) or error.errno == errno.EROFS
    kind = PermissionRefusedError if refused else RunAgainError
    return kind(
        f"{shown(os.fsencode(state_dir))}: {error.strerror}; every file is as it was or done",
        hint="run it again when the cause is gone: it goes on where it was",
    )


def _stopping(leash: int) -> Callable[[], bool]:
    """Whether a signal has asked for a clean stop, or the parent, which bounds this, is gone.

    Nobody writes to the pipe `leash`: its other end is the parent's, and closed with it. The
    processes that the worker forks hold it as well.
    """
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, no child could be waited for
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    looked, gone = 0.0, False

    def stop() -> bool:
        nonlocal looked, gone
        if asked or gone:
            return True
        now = time.monotonic()
        if now - looked < _LEASH_LOOK_S:  # asked at every file: a look would cost a tenth of it
            return False
        looked, gone = now, bool(select.select([leash], [], [], 0)[0])
        return gone

    return stop


def _collected(pid: int, pipes: Pipes, timeout_s: float) -> bytes:
    """All that the worker wrote in `timeout_s` seconds; on return it is gone, or as good as."""
    left = deadline(timeout_s)
    pidfd = os.pidfd_open(pid)
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, before in previous.items():
        signal.signal(number, _handed_on(pidfd, before))
    previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        return received(pipes, left)
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        # In a call of a file system that does not answer it does not even die; it will then.
        if select.select([pidfd], [], [], _DYING_S)[0]:
            os.waitpid(pid, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(pidfd)


def _handed_on(pidfd: int, before: object) -> Callable[[int, FrameType | None], None]:
    """Sends the signal to the worker, and calls the handler of `stops_noted` if that is there."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(pidfd, number)
        if isinstance(before, _Noted):
            before(number, frame)

    return hand_on


class _Noted:
    """A handler that remembers that it was called."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True


@contextmanager
def stops_noted() -> Iterator[Callable[[], bool]]:
    """For several runs one after the other: whether somebody has asked for a stop meanwhile."""
    noted = _Noted()
    previous = {number: signal.signal(number, noted) for number in _SIGNALS}
    try:
        yield lambda: noted.asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def outcome(answer: bytes) -> Report:
    """The report that `answered` gave; raises the error that it told. RunAgainError for none."""
    with suppress(msgspec.DecodeError):  # killed while it wrote
        if answer[:1] == b"R":
            return msgspec.json.decode(answer[1:], type=Report)
        if answer[:1] == b"E":
            failure = msgspec.json.decode(answer[1:], type=_Failure)
            error = PoststageError(failure.message, hint=failure.hint)
            error.exit_code = ExitCode(failure.exit_code)
            raise error
    raise RunAgainError(
        "finalize: its worker was killed or did not end in time; every file is as it was or done",
        hint="run it again: it goes on where it was",
    )
