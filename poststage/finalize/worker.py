"""The forked worker that finalizes, and the parent that bounds it.

The parent never touches what the user controls: it waits, hands signals on, kills the
worker when the deadline is over, and reads one bounded report from a pipe.
"""

import errno
import os
import selectors
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from poststage.errors import ExitCode, PermissionRefusedError, PoststageError, RunAgainError
from poststage.finalize.options import Options
from poststage.finalize.privs import Owner, become
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir
from poststage.finalize.work import deadline
from poststage.names import shown

_GRACE_S = 5.0  # a worker stops at the next file; this is for the last sync
_REPORT_MAX = 256 << 20
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Failure(msgspec.Struct, frozen=True):
    message: str
    hint: str
    exit_code: int


def finalize_as(
    owner: Owner | None, state_dir: Path, options: Options, *, grace_s: float = _GRACE_S
) -> Report:
    """`finalize_dir` in a worker that is `owner` (None: whoever runs this).

    The worker is killed `grace_s` seconds after the deadline.

    Raises:
        PoststageError: what the worker raised.
        RunAgainError: the worker died or did not end by the deadline.
    """
    receive, send = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        _worker(send, parent, owner, state_dir, options)
    os.close(send)
    try:
        return _outcome(_collected(pid, receive, options.deadline_s + grace_s))
    finally:
        os.close(receive)


def _worker(send: int, parent: int, owner: Owner | None, state_dir: Path, options: Options) -> None:
    """Never returns."""
    code = 1
    try:
        stop = _stopping(parent)
        if owner is not None and not owner.trusted:
            become(owner)
        trusted = owner is not None and owner.trusted
        chosen = msgspec.structs.replace(options, restore_owners=trusted)
        try:
            answer = b"R" + msgspec.json.encode(finalize_dir(state_dir, chosen, stop))
        except PoststageError as error:
            answer = _encoded(error)
        except OSError as error:
            answer = _encoded(_of_machine(error, state_dir))
        with os.fdopen(send, "wb") as pipe:
            pipe.write(answer)
        code = 0
    except BaseException:  # noqa: BLE001 - the edge of the process
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


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


def _stopping(parent: int) -> Callable[[], bool]:
    """Reset what a scheduler's hook may have blocked; the first signal asks for a clean stop.

    So does the end of `parent`, which is there to bound this process.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    return lambda: bool(asked) or os.getppid() != parent


def _collected(pid: int, receive: int, timeout_s: float) -> bytes:
    """Everything that the worker wrote in `timeout_s` seconds; the worker is gone on return."""
    left = deadline(timeout_s)
    previous = {number: signal.signal(number, _handed_on(pid)) for number in _SIGNALS}
    received = bytearray()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(receive, selectors.EVENT_READ)
            while left() > 0 and len(received) < _REPORT_MAX:
                if not selector.select(left()):
                    continue
                piece = os.read(receive, 1 << 20)
                if not piece:
                    return bytes(received)
                received += piece
        return b""
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _handed_on(pid: int) -> Callable[[int, FrameType | None], None]:
    def hand_on(number: int, frame: FrameType | None) -> None:
        del frame
        os.kill(pid, number)

    return hand_on


def _outcome(answer: bytes) -> Report:
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
