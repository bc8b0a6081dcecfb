"""Two ranks prove to each other that they know the key; nobody keeps one waiting."""

import os
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from poststage.finalize import greeting

KEY, NONCE = b"k" * 32, b"n" * 32


def refused(greet: Callable[[], Connection]) -> bool:
    """Whether it ends with an error, and in time."""
    found: list[bool] = []

    def trying() -> None:
        try:
            greet().close()
        except (OSError, EOFError):
            found.append(True)

    thread = threading.Thread(target=trying, daemon=True)
    thread.start()
    thread.join(30)
    return found == [True]


def pair() -> tuple[socket.socket, Connection]:
    """A line: one end to be greeted on, and a stranger's."""
    ours, theirs = socket.socketpair()
    return ours, Connection(theirs.detach())


def test_both_know_the_key_and_then_there_is_no_hurry() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    met: list[Connection] = []
    port = server.getsockname()[1]
    calling = threading.Thread(target=lambda: met.append(greeting.call("127.0.0.1", port, KEY)))
    calling.start()
    ours = greeting.welcome(server.accept()[0], KEY)
    calling.join(30)
    met[0].send_bytes(b"hello")
    assert ours.recv_bytes() == b"hello"
    for end in (ours, met[0]):
        with socket.socket(fileno=os.dup(end.fileno())) as same:
            assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == bytes(16)
        end.close()
    server.close()


def test_who_only_says_back_what_it_hears_is_not_believed() -> None:
    ours, stranger = pair()
    stranger.send_bytes(NONCE)
    stranger.send_bytes(NONCE)
    assert refused(lambda: greeting.welcome(ours, KEY))
    stranger.close()


def test_whom_rank_0_has_not_proven_to_know_the_key_is_not_followed() -> None:
    ours, stranger = pair()
    stranger.send_bytes(NONCE)
    stranger.send_bytes(greeting._proof(KEY, b"guest", NONCE, NONCE))
    assert refused(lambda: greeting._met(ours, KEY, greeting._as_guest, 30))
    stranger.close()


def test_one_who_answers_at_the_port_and_says_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(greeting, "_QUEUED_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert refused(lambda: greeting.call("127.0.0.1", port, KEY))
