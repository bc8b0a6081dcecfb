"""The copying daemon: who pretends to be one is not believed, and garbage harms nobody."""

import os
import random
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poststage.copier import protocol as p
from poststage.copier.client import session
from poststage.copier.daemon import spawn
from poststage.copier.root import SOCKET
from poststage.errors import BackendError
from tests.attack.victim import ATTACKER, NEIGHBOUR

USER = NEIGHBOUR
MIB = 1 << 20


def as_user(uid: int, act: Callable[[], str]) -> str:
    """What `act` gives in a process of this user."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(send, act().encode())
        finally:
            os._exit(0)
    os.close(send)
    os.waitpid(child, 0)
    with os.fdopen(receive) as pipe:
        return pipe.read()


@pytest.fixture
def shared(workshop: Path) -> Iterator[Path]:
    """A directory like /tmp: anybody makes names, nobody takes another's away."""
    with tempfile.TemporaryDirectory(dir=workshop) as made:
        os.chmod(made, 0o1777)
        yield Path(made)


def _listening(root: Path, uid: int) -> socket.socket:
    """A socket of `uid` where a daemon's would be, which never answers."""
    root.mkdir(mode=0o755)
    path = os.fsencode(root) + b"/" + SOCKET
    os.chown(root, uid, uid)
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen()
    os.chown(path, uid, uid)
    os.chmod(path, 0o777)
    return made


def _asked(root: Path) -> str:
    try:
        with session(root, 0.2) as daemon:
            daemon.ask(p.Hello())
    except BackendError as error:
        return f"{type(error).__name__}: {error}"
    return "believed"


def test_a_root_that_somebody_else_made_first_is_refused(shared: Path) -> None:
    root = shared / f"poststage-emulator-{USER}"
    with _listening(root, ATTACKER):
        answer = as_user(USER, lambda: _asked(root))
    assert answer.startswith("BackendError")
    assert f"uid {ATTACKER}, which is not believed" in answer


def test_a_socket_of_somebody_else_in_a_root_of_ours_is_refused(shared: Path) -> None:
    root = shared / f"poststage-emulator-{USER}"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    os.chown(root, USER, USER)
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(ATTACKER, ATTACKER, ATTACKER)
            made = socket.socket(socket.AF_UNIX)
            made.bind(os.fsencode(root) + b"/" + SOCKET)
            made.listen()
            os.chmod(os.fsencode(root) + b"/" + SOCKET, 0o777)
            os.write(told, b"x")
            made.accept()
        finally:
            os._exit(0)
    os.read(ready, 1)
    answer = as_user(USER, lambda: _asked(root))
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert f"uid {ATTACKER}, which is not believed" in answer


def test_a_symlink_of_somebody_else_to_another_daemon_of_ours_is_refused(shared: Path) -> None:
    other, name = shared / "another-of-mine", shared / f"poststage-emulator-{USER}"
    with _listening(other, USER):
        name.symlink_to(other)
        os.chown(name, ATTACKER, ATTACKER, follow_symlinks=False)
        answer = as_user(USER, lambda: _asked(name))
    assert f"uid {ATTACKER}, which is not believed" in answer


def test_a_symlink_of_our_own_is_followed(shared: Path) -> None:
    other, name = shared / "another-of-mine", shared / "mine"
    with _listening(other, USER):
        name.symlink_to(other)
        os.chown(name, USER, USER, follow_symlinks=False)
        answer = as_user(USER, lambda: _asked(name))
    assert "no answer within" in answer


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """An emulator of our own."""
    root = tmp_path / "root"
    spawn("poststage.emulator", [f"--root={root}"])
    yield root
    with session(root, 30.0) as running:
        running.ask(p.Stop())


def _hello(root: Path) -> p.HelloReply:
    with session(root, 30.0) as running:
        reply = running.ask(p.Hello())
    assert isinstance(reply, p.HelloReply)
    return reply


def _send(root: Path, content: bytes) -> None:
    """Write `content` to the socket, as much of it as is taken, and go away."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.fsencode(root) + b"/" + SOCKET)
        link.settimeout(10)
        try:
            link.sendall(content)
        except OSError:
            return


def test_garbage_on_the_socket_harms_nobody(daemon: Path) -> None:
    before, draw = _hello(daemon), random.Random(5)
    for content in (
        b"\n" * 1000,
        b"{}\n" * 1000,
        b"[" * MIB,
        b'{"op":"status","handles":[' * 1000 + b"\n",
        b'{"op":"control","name":"faults","value":' + b"[" * 100_000 + b"\n",
        b"\0" * (16 * MIB),
        *(draw.randbytes(draw.randrange(1, 4096)) for _ in range(200)),
    ):
        _send(daemon, content)
    assert _hello(daemon) == before


def test_a_daemon_keeps_its_memory_whatever_is_sent(daemon: Path) -> None:
    pid = _hello(daemon).pid
    before = _resident(pid)
    for _ in range(20):
        _send(daemon, b"x" * (8 * MIB))
        _send(daemon, b'{"op":"find","tags":[' + b'"0000000000000000",' * 60_000 + b'""]}\n')
    assert _resident(pid) - before < 64 * MIB


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
