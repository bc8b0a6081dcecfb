"""Asking a daemon: a socket with deadlines; every failure is a BackendError."""

import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from poststage import names
from poststage.copier import protocol as p
from poststage.copier.records import ItemRecord
from poststage.copier.root import SOCKET
from poststage.copier.server import peer_uid
from poststage.errors import BackendError, ExitCode

_UNKNOWN = "what it holds is unknown"
_BATCH_BYTES = 512 << 10  # of items in one add request


class BackendAwayError(BackendError):
    """Nobody listens at the root, or the connection broke: a new daemon may answer."""


class Session:
    """One connection to a daemon. Not for several threads."""

    def __init__(self, link: socket.socket, where: str, timeout_s: float) -> None:
        self._link, self._where, self._timeout_s = link, where, timeout_s
        self._pending = b""

    def ask(self, request: p.AnyRequest) -> p.AnyReply:
        """The one reply to `request`. Raises BackendError."""
        return next(self.ask_all(request))

    def ask_all(self, request: p.AnyRequest) -> Iterator[p.AnyReply]:
        """The replies to `request` up to Done, which comes last. Raises BackendError."""
        deadline = time.monotonic() + self._timeout_s
        try:
            self._link.settimeout(self._timeout_s)
            self._link.sendall(p.line_of(request))
            while True:
                reply = p.reply_of(self._line(deadline))
                if isinstance(reply, p.Refused):
                    raise self._refusal(reply)
                yield reply
                if not isinstance(reply, p.StatusReply):
                    return
                deadline = time.monotonic() + self._timeout_s
        except TimeoutError as error:
            raise BackendError(
                f"{self._where}: no answer within {self._timeout_s:g} s; {_UNKNOWN}"
            ) from error
        except OSError as error:
            raise BackendAwayError(f"{self._where}: {_fact(error)}; {_UNKNOWN}") from error
        except ValueError as error:
            raise BackendError(f"{self._where}: {error}; {_UNKNOWN}") from error

    def _refusal(self, reply: p.Refused) -> BackendError:
        error = BackendError(f"{self._where}: {reply.message}", hint=reply.hint)
        with suppress(ValueError):  # a number that this version has no meaning for
            error.exit_code = ExitCode(reply.exit_code)
        return error

    def add(self, handle: str, items: Sequence[ItemRecord]) -> None:
        """Add all `items` to the transfer, in requests of bounded length."""
        first = 0
        for batch in _batches(items):
            self.ask(p.Add(handle, first, batch))
            first += len(batch)

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._pending:
            if len(self._pending) > p.LINE_MAX:
                raise ValueError("its answer is too long")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._link.settimeout(left)
            chunk = self._link.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError("it closed the connection")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def _fact(error: OSError) -> str:
    return error.strerror or str(error)


def _batches(items: Sequence[ItemRecord]) -> Iterator[list[ItemRecord]]:
    batch: list[ItemRecord] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.source) + len(item.target) + 150
        if size >= _BATCH_BYTES or len(batch) == 5000:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def session(
    root: Path, timeout_s: float, *, owners: frozenset[int] | None = None
) -> Iterator[Session]:
    """A connection to the daemon of `root`.

    Its user, and that of the directory or symlink called `root`, is this one or root, or one
    of `owners`: whoever made a name that anyone could have made is not believed.

    Raises:
        BackendError: nobody listens there, or somebody who is not to be believed.
    """
    where = f"copying daemon of {names.shown(os.fsencode(root))}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        # A blocking connect waits while the backlog is full; one with settimeout is refused.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))
        trusted = owners or frozenset({0, os.geteuid()})
        _connect(link, root, where, trusted)
        _believe(peer_uid(link), trusted, where)
        yield Session(link, where, timeout_s)


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000) or 1)


def _believe(uid: int, trusted: frozenset[int], where: str) -> None:
    if uid not in trusted:
        raise BackendError(f"{where}: belongs to uid {uid}, which is not believed")


def _connect(link: socket.socket, root: Path, where: str, trusted: frozenset[int]) -> None:
    try:
        # A symlink of somebody else's may lead to another daemon of ours, which knows nothing.
        _believe(os.lstat(root).st_uid, trusted, where)
        # Through the directory's descriptor: sun_path has room for 107 bytes only, unix(7).
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _believe(os.fstat(root_fd).st_uid, trusted, where)
            link.connect(b"/proc/self/fd/%d/%s" % (root_fd, SOCKET))
        finally:
            os.close(root_fd)
    except OSError as error:
        raise BackendAwayError(
            f"{where}: does not answer: {_fact(error)}; {_UNKNOWN}",
            hint="see whether it runs: `poststage emulator status`",
        ) from error
