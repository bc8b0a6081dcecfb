"""The socket: who may ask, how much, and for how long."""

import logging
import math
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from poststage.copier import protocol as p
from poststage.copier.root import SOCKET
from poststage.copier.service import Service
from poststage.durable import fsops
from poststage.errors import ExitCode, PoststageError

CLIENTS_MAX = 64  # further ones wait in the kernel's backlog
_LOOK_S = 2.0  # how often a daemon asks itself whether it is still needed
IDLE_S = 30.0  # a client that is silent for longer, or reads nothing, is let go
_EXEMPT = frozenset({"control", "stop"})  # a hanging vendor can still be told to stop hanging
_log = logging.getLogger("poststage.copier")


def listen(root_fd: int) -> socket.socket:
    """A listening socket in the directory `root_fd`, which nobody but its owner can enter.

    The caller holds the daemon's lock: a socket of that name is a dead daemon's.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = SOCKET + b".new"
    if fsops.facts(root_fd, new) is not None:
        fsops.unlink(root_fd, new)
    server.bind(b"/proc/self/fd/%d/%s" % (root_fd, new))
    server.listen(128)
    fsops.replace(root_fd, new, SOCKET)
    return server


class Server:
    """Accepts clients, one thread each, until `stop` is called or asked for."""

    def __init__(self, listener: socket.socket, service: Service, delay_s: Callable[[str], float]):
        self._listener, self._service, self._delay_s = listener, service, delay_s
        self._awake, self._waker = socket.socketpair()
        self._waker.settimeout(0)
        self._free = threading.Semaphore(CLIENTS_MAX)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make `serve` return; fit for a signal handler."""
        self._stopped.set()
        with suppress(BlockingIOError):
            self._waker.send(b"x")

    def close(self) -> None:
        """Close the listening socket; who is connected is served to the end."""
        for one in (self._listener, self._awake, self._waker):
            one.close()

    def serve(self, may_end: Callable[[float], bool]) -> None:
        """Serve until `stop`, or `may_end` says so of the seconds since somebody came."""
        came = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            while not self._stopped.is_set():
                ready = {key.fileobj for key, _ in selector.select(_LOOK_S)}
                if self._listener in ready:
                    came = time.monotonic()
                    self._accept()
                elif may_end(time.monotonic() - came):
                    return

    def _accept(self) -> None:
        if not self._free.acquire(timeout=0.2):
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # the client is gone again, or descriptors are short
            _log.warning("a client was not accepted: %s", error)
            self._free.release()
            self._stopped.wait(0.05)
            return
        threading.Thread(target=self._client, args=(client,), daemon=True).start()

    def _client(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(IDLE_S)
                if _may_ask(client):
                    self._converse(client)
        except OSError:  # the client is gone or silent; that is its affair
            pass
        finally:
            self._free.release()

    def _converse(self, client: socket.socket) -> None:
        for line in _lines(client):
            try:
                request = p.request_of(line)
            except ValueError as error:
                client.sendall(p.line_of(p.Refused(f"this is no request: {error}")))
                return
            op = str(request.__struct_config__.tag)
            if op not in _EXEMPT and not _still_there(client, self._delay_s(op)):
                return
            for reply in self._answers(request):
                client.sendall(p.line_of(reply))
            if isinstance(request, p.Stop):
                self.stop()

    def _answers(self, request: p.AnyRequest) -> Iterator[p.AnyReply]:
        try:
            yield from self._service.replies(request)
        except PoststageError as error:
            yield p.Refused(error.message, error.hint, int(error.exit_code))
        except ValueError as error:
            message = f"this cannot be asked: {error}"
            yield p.Refused(message, exit_code=int(ExitCode.USAGE))
        except Exception:  # noqa: BLE001 - a client's edge: logged and answered
            _log.exception("request %r", type(request).__name__)
            yield p.Refused("internal error; the daemon's log has the details")


def _still_there(client: socket.socket, delay_s: float) -> bool:
    """Wait `delay_s` seconds, infinity included; False as soon as the client has gone."""
    if delay_s <= 0:
        return True
    poll = select.poll()
    poll.register(client, 0)  # POLLHUP alone: who has only stopped sending still listens
    return not poll.poll(None if math.isinf(delay_s) else delay_s * 1000)


def _may_ask(client: socket.socket) -> bool:
    """Whether the client is root or the daemon's own user; it is told if it is not."""
    uid = peer_uid(client)
    if uid in {0, os.geteuid()}:
        return True
    client.sendall(p.line_of(p.Refused(f"uid {uid} is not served here")))
    return False


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end when it connected, or listened (SO_PEERCRED, unix(7))."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", raw)[1]
    return uid


def _lines(client: socket.socket) -> Iterator[bytes]:
    """Each line that the client sends, bounded in length and in the time that it takes."""
    pending = b""
    while True:
        deadline = time.monotonic() + IDLE_S
        while b"\n" not in pending:
            if len(pending) >= p.LINE_MAX or time.monotonic() > deadline:
                client.sendall(p.line_of(p.Refused("a request is too long or takes too long")))
                return
            chunk = client.recv(1 << 16)
            if not chunk:
                return
            pending += chunk
        line, _, pending = pending.partition(b"\n")
        yield line
