"""How ranks know of each other and what they say; nobody else is heard."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize import greeting, ranks
from poststage.finalize.ranks import Done, Ear, Line, Rank, Task
from poststage.finalize.tally import Tally
from poststage.finalize.window import Result
from poststage.model import Verdict


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[int]:
    fd = fsops.open_dir(os.fsencode(tmp_path))
    yield fd
    os.close(fd)


@pytest.fixture
def ear() -> Iterator[Ear]:
    found = Ear()
    yield found
    found.close()


def met(ear: Ear, state_dir: int) -> tuple[Line, Line]:
    """Both ends of a line: rank 0's and the other's."""
    ear.leave_word(state_dir)
    heard: list[Line | None] = []
    listening = threading.Thread(target=lambda: heard.append(ear.next()))
    listening.start()
    theirs = ranks.call(state_dir)
    listening.join(30)
    assert theirs is not None
    assert heard[0] is not None
    return heard[0], theirs


@pytest.mark.parametrize(
    ("env", "rank"),
    [
        ({}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "4"}, Rank(0, 4)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, Rank(3, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, Rank(1, 2)),
        ({"PMIX_RANK": "1"}, Rank(1, 2)),
        ({"PMI_RANK": "x", "PMI_SIZE": "4"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, None),
    ],
)
def test_the_launcher_tells_who_is_who(env: dict[str, str], rank: Rank | None) -> None:
    assert ranks.rank_of(env) == rank


def test_what_one_says_the_other_hears(ear: Ear, state_dir: int) -> None:
    ours, theirs = met(ear, state_dir)
    task = Task(True, [(b"d", b"0.state"), (b"d", b"\xff.state")], [b"d"])
    ours.send(task)
    assert theirs.is_heard(30)
    assert theirs.task() == task
    tally = Tally(b"d")
    tally.seen, tally.parts = {0, 3}, 4
    tally.codes.add(ExitCode.NEEDS_PERSON)
    tally.add_problem(Verdict.LOST, "why", part=3)
    pending = ranks.pending_of(b"d", b"0.state", b"/s")
    theirs.send(ranks.done_of(Result({b"d": tally}, [pending], [])))
    result = ranks.result_of(ours.done(), b"/s")
    assert result.tallies[b"d"].report() == tally.report()
    assert result.tallies[b"d"].codes == tally.codes
    assert (result.waiting, result.deferred) == ([pending], [])
    ours.close()
    with pytest.raises(EOFError):
        theirs.task()
    theirs.close()


def port_of(state_dir: int) -> int:
    """Where rank 0 has said it listens."""
    fd = os.open(ranks.WORD, os.O_RDONLY, dir_fd=state_dir)
    with open(fd, "rb") as word:
        _, _, port, _ = msgspec.msgpack.decode(word.read())
    return int(port)


def test_who_does_not_know_the_key_is_not_heard(ear: Ear, state_dir: int) -> None:
    ear.leave_word(state_dir)
    refused: list[bool] = []

    def strange() -> None:
        with suppress(OSError, EOFError):
            greeting.call("127.0.0.1", port_of(state_dir), b"guessed").close()
        refused.append(True)

    calling = threading.Thread(target=strange)
    calling.start()
    assert ear.next() is None
    calling.join(30)
    assert refused


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 12, struct.pack("!i", 1 << 30)],
    ids=["nothing", "another protocol", "endless", "too much"],
)
def test_strangers_do_not_keep_a_rank_from_being_heard(
    ear: Ear, state_dir: int, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "_PATIENCE_S", 1)
    ear.leave_word(state_dir)
    with socket.create_connection(("127.0.0.1", port_of(state_dir))) as stranger:
        stranger.sendall(said)
        assert ear.next() is None
        for line in met(ear, state_dir):
            line.close()


def test_who_waits_for_a_rank_hears_that_it_is_over(ear: Ear, state_dir: int) -> None:
    heard: list[str] = []

    def waiting() -> None:
        with suppress(OSError):
            ear.next()
        heard.append("over")

    listening = threading.Thread(target=waiting, daemon=True)
    listening.start()
    ear.close()
    listening.join(30)
    assert heard == ["over"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_word_of_somebody_else_is_not_followed(ear: Ear, state_dir: int, tmp_path: Path) -> None:
    ear.leave_word(state_dir)
    os.chown(tmp_path / os.fsdecode(ranks.WORD), 12345, -1)
    assert ranks.call(state_dir) is None
    ranks.leave_last_word(state_dir)
    os.chown(tmp_path / os.fsdecode(ranks.WORD), 12345, -1)
    assert not ranks.is_over(state_dir, time.time())


def test_the_word_is_for_its_owner_alone(ear: Ear, state_dir: int, tmp_path: Path) -> None:
    ear.leave_word(state_dir)
    assert (tmp_path / os.fsdecode(ranks.WORD)).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("word", [None, b"", b"\xc1", b"x" * 5000])
def test_without_a_word_that_can_be_understood_nobody_is_called(
    state_dir: int, tmp_path: Path, word: bytes | None
) -> None:
    if word is not None:
        (tmp_path / os.fsdecode(ranks.WORD)).write_bytes(word)
    assert ranks.call(state_dir) is None
    assert not ranks.is_over(state_dir, 0)


def test_a_symlink_and_a_fifo_are_no_word(state_dir: int, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / os.fsdecode(ranks.WORD)).symlink_to("there")
    assert ranks.call(state_dir) is None
    (tmp_path / os.fsdecode(ranks.WORD)).unlink()
    os.mkfifo(tmp_path / os.fsdecode(ranks.WORD))
    assert ranks.call(state_dir) is None


def test_the_last_word_counts_for_those_of_its_time(ear: Ear, state_dir: int) -> None:
    ear.leave_word(state_dir)
    assert not ranks.is_over(state_dir, time.time())
    began = time.time() - 5
    ranks.leave_last_word(state_dir)
    assert ranks.is_over(state_dir, began)
    assert not ranks.is_over(state_dir, time.time() + 3600)
    assert ranks.call(state_dir) is None


def test_what_is_no_message_is_an_error_and_nothing_else(ear: Ear, state_dir: int) -> None:
    ours, theirs = met(ear, state_dir)
    theirs.send(Done([], [], []))
    ours.send(Task(False))
    assert ours.done() == Done([], [], [])
    ours.send(Done([], [], []))
    assert theirs.task() == Task(False)
    with pytest.raises(msgspec.ValidationError):
        theirs.task()
    ours.close()
    theirs.close()


def test_the_last_word_of_an_earlier_run_sends_nobody_away_until_rank_0_has_had_its_time(
    state_dir: int,
) -> None:
    """A run that is begun again at once finds it there."""
    ranks.leave_last_word(state_dir)
    left_at = time.time() - 10
    os.utime(ranks.WORD, (left_at, left_at), dir_fd=state_dir)
    assert not ranks.is_over(state_dir, time.time() - 1)
    assert ranks.is_over(state_dir, left_at - 1)
    os.utime(ranks.WORD, (left_at - 100, left_at - 100), dir_fd=state_dir)
    assert ranks.is_over(state_dir, time.time() - 31)
