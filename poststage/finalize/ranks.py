"""Ranks that a launcher (mpirun, srun) has started for one run: who they are, how they meet.

The launcher's environment tells who is who. Rank 0 leaves word in STATEDIR where it listens;
what the others then say to it and hear from it is authenticated by a key that only who can read
that word has, and is decoded into nothing but these records. No MPI: its runs end as a whole
when one rank dies, and here the others go on.
"""

import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection

import msgspec
from msgspec import Struct

from poststage.durable import atomic, fsops
from poststage.finalize import greeting
from poststage.finalize.pending import Pending
from poststage.finalize.tally import Sums, Tally
from poststage.finalize.window import Result

WORD = b".finalize.ranks"
_WORD_MAX = 4096
_MESSAGE_MAX = 64 << 20
_BACKLOG = 1024
# A node that is gone without a word is missed after 25 s.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_CLOCKS_DIFFER_S = 30.0
_VARIABLES = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
)


class Rank(Struct, frozen=True):
    """Which of how many this process is."""

    number: int
    of: int


def rank_of(env: Mapping[str, str]) -> Rank | None:
    """What the launcher's environment says; None where there is none, or one process alone."""
    for number, size in _VARIABLES:
        if env.get(number, "").isdecimal():
            of = int(env[size]) if env.get(size, "").isdecimal() else 2
            return Rank(int(env[number]), of) if of > 1 else None
    return None


class Task(Struct, frozen=True, array_like=True):
    """State files for another rank to work on; none at the end of the run."""

    wait: bool
    files: list[tuple[bytes, bytes]] = []
    """Directory, relative to STATEDIR, and name."""
    held: list[bytes] = []
    """Directories whose datasets are held back."""


class Done(Struct, frozen=True, array_like=True):
    """What came of a task."""

    tallies: list[Sums]
    waiting: list[tuple[bytes, bytes]]
    deferred: list[tuple[bytes, bytes]]


class _Word(Struct, frozen=True, array_like=True):
    """Where rank 0 listens."""

    host: str
    addresses: list[str]
    port: int
    """0: the run has ended."""
    key: bytes


class Line:
    """One end of the line between rank 0 and another one. Every method may raise OSError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            for level, option, value in _KEEP_ALIVE:
                same.setsockopt(level, option, value)

    def send(self, message: Task | Done) -> None:
        """Say it."""
        self._connection.send_bytes(msgspec.msgpack.encode(message))

    def is_heard(self, seconds: float) -> bool:
        """Whether something is there to be received, or the other one is gone, by then."""
        return self._connection.poll(seconds)

    def task(self) -> Task:
        """The next task. EOFError when rank 0 is gone; ValueError if that is none."""
        return msgspec.msgpack.decode(self._connection.recv_bytes(_MESSAGE_MAX), type=Task)

    def done(self) -> Done:
        """What came of a task. EOFError when the other one is gone; ValueError if that is none."""
        return msgspec.msgpack.decode(self._connection.recv_bytes(_MESSAGE_MAX), type=Done)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Ear:
    """Where rank 0 listens. `close` when done."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._listener = socket.create_server(("", 0), backlog=_BACKLOG)

    def leave_word(self, state_dir_fd: int) -> None:
        """Write into STATEDIR where it is. OSError: nobody will come."""
        host = socket.gethostname()
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        addresses = sorted({str(one[4][0]) for one in found})
        word = _Word(host, addresses, int(self._listener.getsockname()[1]), self._key)
        _leave(state_dir_fd, word)

    def next(self) -> Line | None:
        """The next one who knows the key; None for one who does not. OSError once it is closed."""
        sock, _ = self._listener.accept()
        try:
            return Line(greeting.welcome(sock, self._key))
        except (OSError, EOFError):
            return None

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # who waits in `next` hears of it
        with suppress(OSError):
            self._listener.close()


def call(state_dir_fd: int) -> Line | None:
    """The line to rank 0; None where it left no word, or does not answer."""
    word = _read(state_dir_fd)
    if word is None or word.port == 0:
        return None
    near = word.host == socket.gethostname()
    for address in ["127.0.0.1"] if near else [word.host, *word.addresses]:
        with suppress(OSError, EOFError):
            return Line(greeting.call(address, word.port, word.key))
    return None


def leave_last_word(state_dir_fd: int) -> None:
    """Say that the run has ended to those who come too late."""
    with suppress(OSError):
        _leave(state_dir_fd, _Word("", [], 0, b""))


def is_over(state_dir_fd: int, since: float) -> bool:
    """Whether rank 0 has left its last word after `since` (seconds since the epoch).

    One from before is an earlier run's, as a rule, and rank 0 is about to say where it is; where
    it has not done so for longer than clocks differ between nodes, it came and went before.
    """
    word = _read(state_dir_fd)
    if word is None or word.port != 0:
        return False
    try:
        info = os.stat(WORD, dir_fd=state_dir_fd, follow_symlinks=False)
    except OSError:
        return False
    return info.st_mtime > since or time.time() - since > _CLOCKS_DIFFER_S


def _leave(state_dir_fd: int, word: _Word) -> None:
    atomic.replace_file(state_dir_fd, WORD, msgspec.msgpack.encode(word), mode=0o600)


def _read(state_dir_fd: int) -> _Word | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(WORD, flags, dir_fd=state_dir_fd)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if not fsops.is_regular(info) or info.st_uid != os.geteuid():  # who leads us is our own
            return None
        return msgspec.msgpack.decode(os.pread(fd, _WORD_MAX, 0), type=_Word)
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)


def done_of(result: Result) -> Done:
    """`result` as it is told."""
    return Done(
        [tally.sums() for tally in result.tallies.values()],
        [(one.directory, one.name) for one in result.waiting],
        [(one.directory, one.name) for one in result.deferred],
    )


def result_of(done: Done, base: bytes) -> Result:
    """What was told; `base` is STATEDIR's path."""

    def pendings(names: list[tuple[bytes, bytes]]) -> list[Pending]:
        return [pending_of(directory, name, base) for directory, name in names]

    tallies = {sums.directory: Tally.of(sums) for sums in done.tallies}
    return Result(tallies, pendings(done.waiting), pendings(done.deferred))


def pending_of(directory: bytes, name: bytes, base: bytes) -> Pending:
    """The state file `name` in `directory` below `base`."""
    return Pending(directory, name, os.path.join(base, directory, name))
