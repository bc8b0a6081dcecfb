"""How two ranks that meet prove to each other, in bounded time, that they know the run's key.

Anybody can reach the port: who says nothing, too much or the wrong thing keeps nobody waiting
for longer than that.
"""

import hmac
import os
import secrets
import socket
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection

_PATIENCE_S = 2  # of rank 0, which greets one after the other
_QUEUED_S = 10  # of the others, which may have to wait for their turn
_NONCE = 32
_HOST, _GUEST = b"host", b"guest"  # no proof is good for the other side

Greet = Callable[[Connection, bytes], None]


def welcome(sock: socket.socket, key: bytes) -> Connection:
    """Rank 0's end of a line to one who knows `key`. OSError or EOFError: it does not."""
    return _met(sock, key, _as_host, _PATIENCE_S)


def call(address: str, port: int, key: bytes) -> Connection:
    """The line to rank 0, which knows `key`. OSError or EOFError: it is not there, or not it."""
    sock = socket.create_connection((address, port), timeout=_QUEUED_S)
    sock.settimeout(None)
    return _met(sock, key, _as_guest, _QUEUED_S)


def _met(sock: socket.socket, key: bytes, greet: Greet, patience_s: int) -> Connection:
    with sock:
        _hurry(sock, patience_s)
        connection = Connection(os.dup(sock.fileno()))
        try:
            greet(connection, key)
            _hurry(sock, 0)
        except BaseException:
            connection.close()
            raise
    return connection


def _hurry(sock: socket.socket, seconds: int) -> None:
    """Let no call on it take longer; 0: as long as it takes."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, 0))


def _as_host(connection: Connection, key: bytes) -> None:
    ours = secrets.token_bytes(_NONCE)
    connection.send_bytes(ours)
    theirs = connection.recv_bytes(_NONCE)
    _require(connection, _proof(key, _GUEST, ours, theirs))
    connection.send_bytes(_proof(key, _HOST, ours, theirs))


def _as_guest(connection: Connection, key: bytes) -> None:
    theirs, ours = connection.recv_bytes(_NONCE), secrets.token_bytes(_NONCE)
    connection.send_bytes(ours)
    connection.send_bytes(_proof(key, _GUEST, theirs, ours))
    _require(connection, _proof(key, _HOST, theirs, ours))


def _proof(key: bytes, side: bytes, of_host: bytes, of_guest: bytes) -> bytes:
    return hmac.digest(key, side + of_host + of_guest, "sha256")


def _require(connection: Connection, proof: bytes) -> None:
    if not hmac.compare_digest(connection.recv_bytes(len(proof)), proof):
        raise ConnectionRefusedError("it does not know the key")
