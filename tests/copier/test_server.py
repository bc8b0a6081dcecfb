"""The socket: whatever a client sends or does not send, the others are served."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.copier import client, server
from poststage.copier import protocol as p
from poststage.copier.manners import Plain
from poststage.copier.service import Service
from poststage.copier.workers import Workers
from poststage.errors import BackendError
from tests.copier.scene import Place
from tests.copier.test_service import HELLO


@contextmanager
def serving(place: Place, delay_s: Callable[[str], float] = lambda op: 0.0) -> Iterator[Path]:
    """A server in this process; the root in which its socket is."""
    service = Service(place.queue, Workers(Plain(), threads=1, prove_bytes=0), Plain(), HELLO)
    root_fd = os.open(place.queue_dir, os.O_RDONLY)
    running = server.Server(server.listen(root_fd), service, delay_s)
    thread = threading.Thread(target=running.serve, args=(lambda silent_s: False,))
    thread.start()
    try:
        yield place.queue_dir
    finally:
        running.stop()
        thread.join()
        running.close()
        os.close(root_fd)


def raw(root: Path, data: bytes, *, end: bool = True) -> bytes:
    """What comes back for these bytes until the server closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(30)
        fd = os.open(root, os.O_PATH)
        link.connect(f"/proc/self/fd/{fd}/socket")
        os.close(fd)
        try:
            link.sendall(data)
            if end:
                link.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass  # refused before all of it was read
        answer = b""
        try:
            while chunk := link.recv(1 << 16):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def answers_still(root: Path) -> bool:
    """Whether an honest client is served."""
    with client.session(root, 30) as session:
        return session.ask(p.Hello()) == HELLO


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"garbage\n",
        b"{}\n",
        b'{"op":"nothing"}\n',
        b'{"op":"hello","more":1}\n',
        b'{"op":"hello","version":"1"}\n',
        b'{"op":"hello"}{"op":"hello"}\n',
        b'{"op":"handle","tag":"../../etc"}\n',
        b'{"op":"handle","tag":"\xff"}\n',
        b"[" * 500_000 + b"\n",
        b'{"op":' * 100_000 + b"\n",
        b'{"op":"start","handle":"h","count":' + b"9" * 10_000 + b"}\n",
        b"\0" * 1000 + b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_gets_one_clear_error_and_the_end(place: Place, garbage: bytes) -> None:
    with serving(place) as root:
        reply = p.reply_of(raw(root, garbage + p.line_of(p.Hello())).rstrip(b"\n"))
        assert isinstance(reply, p.Refused)
        assert reply.message.startswith("this is no request")
        assert answers_still(root)


def test_a_line_longer_than_a_request_may_be_is_not_read_to_its_end(place: Place) -> None:
    with serving(place) as root:
        assert b"too long" in raw(root, b"x" * (3 * p.LINE_MAX), end=False)
        assert answers_still(root)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_survived(shared_root: Path, data: bytes) -> None:
    raw(shared_root, data)
    assert answers_still(shared_root)


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = Place(tmp_path_factory.mktemp("server"))
    with serving(made) as root:
        yield root


def test_a_refused_request_does_not_end_the_conversation(place: Place) -> None:
    with serving(place) as root, client.session(root, 30) as session:
        with pytest.raises(BackendError, match="is not known here"):
            session.ask(p.Start("00000000-x", 1))
        assert session.ask(p.Hello()) == HELLO


def test_clients_that_say_nothing_do_not_keep_others_out(place: Place) -> None:
    with serving(place) as root:
        silent = []
        for _ in range(server.CLIENTS_MAX // 2):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.connect(os.fsencode(root / "socket"))
            silent.append(link)
        assert answers_still(root)
        for link in silent:
            link.close()


def test_more_clients_than_are_served_wait_their_turn(place: Place) -> None:
    with serving(place) as root:
        held = []
        for _ in range(server.CLIENTS_MAX):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.connect(os.fsencode(root / "socket"))
            held.append(link)
        served = []
        waiting = threading.Thread(target=lambda: served.append(answers_still(root)))
        waiting.start()
        for link in held:
            link.close()
        waiting.join(30)
        assert served == [True]


def test_no_more_clients_are_served_at_a_time_than_there_is_room_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 2)
    with serving(place) as root, ExitStack() as stack:
        served = [stack.enter_context(client.session(root, 30)) for _ in range(2)]
        assert [one.ask(p.Hello()) for one in served] == [HELLO] * 2
        third = stack.enter_context(client.session(root, 0.3))
        with pytest.raises(BackendError, match="no answer"):
            third.ask(p.Hello())


def test_a_hanging_daemon_is_given_up_by_its_client_and_hears_its_owner(place: Place) -> None:
    with serving(place, lambda op: float("inf")) as root:
        with (
            client.session(root, 0.2) as session,
            pytest.raises(BackendError, match=r"no answer within 0\.2 s"),
        ):
            session.ask(p.Hello())
        with client.session(root, 30) as session, pytest.raises(BackendError, match="faults"):
            session.ask(p.Control("faults"))


def test_clients_that_gave_up_on_a_hanging_daemon_leave_no_thread(place: Place) -> None:
    with serving(place, lambda op: float("inf")) as root:
        for _ in range(2 * server.CLIENTS_MAX):
            with client.session(root, 0.01) as session, pytest.raises(BackendError):
                session.ask(p.Hello())
        with client.session(root, 30) as session, pytest.raises(BackendError, match="faults"):
            session.ask(p.Control("faults"))


def test_who_has_only_stopped_sending_still_gets_a_slow_answer(place: Place) -> None:
    with serving(place, lambda op: 0.2) as root:
        assert p.reply_of(raw(root, p.line_of(p.Hello())).rstrip(b"\n")) == HELLO


def test_a_socket_of_a_dead_daemon_is_replaced(place: Place) -> None:
    for _ in range(2):
        with serving(place) as root:
            assert answers_still(root)


def test_a_root_with_a_long_path_is_served(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    with serving(Place(deep)) as root:
        assert answers_still(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_served(place: Place) -> None:
    with serving(place) as root:
        for above in [root, *root.parents]:
            if above.stat().st_uid == 0 and above.stat().st_mode & 0o077 == 0:
                above.chmod(0o711)
        (root / "socket").chmod(0o777)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, raw(root, p.line_of(p.Hello())))
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        assert b"uid 65534 is not served here" in os.read(read, 4096)
        os.close(read)
