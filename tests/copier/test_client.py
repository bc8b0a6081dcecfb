"""A client and a daemon that is away, slow, torn or not the one that it should be."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from poststage.copier import client
from poststage.copier import protocol as p
from poststage.copier.records import ItemRecord
from poststage.errors import BackendError


@contextmanager
def fake(root: Path, *answers: bytes, close: bool = True) -> Iterator[None]:
    """A daemon that gives these bytes for each request, whatever it is."""
    done = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fsencode(root / "socket"))
        listener.listen()

        def serve() -> None:
            link, _ = listener.accept()
            with link, suppress(ConnectionError):  # who gives up does not listen to the end
                for answer in answers:
                    link.recv(1 << 16)
                    link.sendall(answer)
                if not close:
                    done.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b'{"reply":"done"',
        b"garbage\n",
        b'{"reply":"nothing"}\n',
        b'{"reply":"done","more":1}\n',
        b"\xff\n",
        b"[" * 200_000 + b"\n",
    ],
)
def test_an_answer_that_is_none_is_a_backend_error(tmp_path: Path, answer: bytes) -> None:
    with (
        fake(tmp_path, answer),
        client.session(tmp_path, 30) as session,
        pytest.raises(BackendError, match="what it holds is unknown"),
    ):
        session.ask(p.Hello())


def test_an_endless_answer_is_given_up(tmp_path: Path) -> None:
    with (
        fake(tmp_path, b"x" * (p.LINE_MAX + 100_000)),
        client.session(tmp_path, 30) as session,
        pytest.raises(BackendError, match="too long"),
    ):
        session.ask(p.Hello())


def test_a_dripping_answer_does_not_outlast_the_deadline(tmp_path: Path) -> None:
    with (
        fake(tmp_path, b"x", close=False),
        client.session(tmp_path, 0.1) as session,
        pytest.raises(BackendError, match="no answer within"),
    ):
        session.ask(p.Hello())


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(client.BackendAwayError, match="No such file") as caught,
        client.session(tmp_path, 30),
    ):
        pass
    assert caught.value.hint


def test_a_socket_that_nobody_listens_at_is_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fsencode(tmp_path / "socket"))
    with pytest.raises(client.BackendAwayError, match="refused"), client.session(tmp_path, 30):
        pass


def test_a_directory_of_somebody_else_is_not_believed_nor_asked(tmp_path: Path) -> None:
    with (
        pytest.raises(BackendError, match="is not believed"),
        client.session(tmp_path, 30, owners=frozenset({4242})),
    ):
        pass


def test_a_refusal_carries_its_words_and_its_hint(tmp_path: Path) -> None:
    answer = p.line_of(p.Refused("no", "do this", 2))
    with (
        fake(tmp_path, answer),
        client.session(tmp_path, 30) as session,
        pytest.raises(BackendError, match="no") as caught,
    ):
        session.ask(p.Hello())
    assert (caught.value.hint, caught.value.exit_code) == ("do this", 2)


def test_items_are_sent_in_requests_of_bounded_length() -> None:
    long = "/" + "x" * 200 + "/%FF" * 900
    items = [ItemRecord(n, long, long + f"/{n}", 1, 1) for n in range(2000)]
    batches = list(client._batches(items))
    assert [item for batch in batches for item in batch] == items
    lines = [p.line_of(p.Add("0-t", 0, batch)) for batch in batches]
    assert max(map(len, lines)) < p.LINE_MAX
    assert len(lines) < 40
