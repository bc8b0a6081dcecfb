"""Which file is a state file, whoever wrote it, and what is read of it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.durable import fsops
from poststage.errors import StateFileError
from poststage.model import Ended, State, Verdict
from poststage.statefile import anyone, kvtree, verdicts
from tests.axl.lay import Pairs, file, metadata, pack, transfer
from tests.vectors.words import HEAD, entry, lines, recorded

AXL = pack(transfer({b"/s/f": file(b"/d/f._AXL", **metadata(3))}))
INDEX = pack([(b"VERSION", [(b"2", [])])])
OURS = lines(HEAD, entry(), recorded(1))


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = fsops.open_dir(os.fsencode(tmp_path))
    yield fd
    os.close(fd)


def read(dir_fd: int, name: bytes) -> State | None:
    fd = os.open(name, os.O_RDONLY, dir_fd=dir_fd)
    try:
        return anyone.read_any(dir_fd, fd, name, b"/state/" + name)
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["state", "x", ".hidden", "a b", "0", "n\nl", "f.tar", "-"])
def test_a_file_of_axl_is_found_whatever_it_is_called(
    dir_fd: int, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(AXL)
    assert anyone.is_foreign(dir_fd, os.fsencode(name))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (AXL, True),
        (AXL[:-1], True),
        (AXL[:40], True),
        (AXL[:4], True),
        (AXL[:3], False),
        (AXL + b"tail", True),
        (INDEX, False),
        (INDEX[:-1], True),
        (OURS, False),
        (b"", False),
        (b"\x95\x1f", False),
        (b"text that is no state file", False),
    ],
)
def test_what_is_found_is_known_by_its_content(
    dir_fd: int, tmp_path: Path, content: bytes, found: bool
) -> None:
    (tmp_path / "some name").write_bytes(content)
    assert anyone.is_foreign(dir_fd, b"some name") is found


@pytest.mark.parametrize("content", [b"", AXL[:1], AXL[:3]])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"state", True),
        (b"rank_0.state_file", True),
        (b"statefile", True),
        (b"job.axl", True),
        (b"job.state_file.3", True),
        (b"zero", False),
        (b"restate", False),
        (b"state.txt", False),
    ],
)
def test_an_emptied_file_is_known_by_its_name_alone(
    dir_fd: int, tmp_path: Path, name: bytes, content: bytes, found: bool
) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(content)
    assert anyone.is_foreign(dir_fd, name) is found


def test_nothing_but_a_regular_file_is_looked_into(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(AXL)
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    names = (b"link", b"fifo", b"directory", b"missing")
    assert not any(anyone.is_foreign(dir_fd, name) for name in names)


@pytest.mark.parametrize("call", ["open", "pread"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_what_cannot_be_told_is_not_taken_for_nothing(
    dir_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    (tmp_path / "x").write_bytes(AXL)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="refused"):
        anyone.is_foreign(dir_fd, b"x")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_what_is_anothers_and_cannot_be_read_is_none_of_ours(dir_fd: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, mode in (("public", 0o644), ("private", 0o600)):
        (tmp_path / name).write_bytes(AXL)
        (tmp_path / name).chmod(mode)
    (tmp_path / "own").write_bytes(AXL)
    (tmp_path / "own").chmod(0)
    os.chown(tmp_path / "own", 1234, 1234)
    os.seteuid(1234)
    try:
        assert not anyone.is_foreign(dir_fd, b"public")  # only its owner reads without a trace
        assert not anyone.is_foreign(dir_fd, b"private")
        with pytest.raises(PermissionError):
            anyone.is_foreign(dir_fd, b"own")
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="root's own case")
def test_root_is_told_of_what_it_is_refused_whoever_owns_it(
    dir_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(AXL)
    os.chown(tmp_path / "x", 1234, 1234)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "root is squashed")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match="squashed"):
        anyone.is_foreign(dir_fd, b"x")


def test_looking_for_state_files_leaves_no_trace_in_an_atime(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(AXL)
    os.utime(tmp_path / "x", ns=(5, 10**18))
    assert anyone.is_foreign(dir_fd, b"x")
    assert (tmp_path / "x").stat().st_atime_ns == 5


def test_ours_and_axls_are_read_by_their_content(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "0.state").write_bytes(OURS)
    (tmp_path / "1.state").write_bytes(AXL)
    ours, theirs = read(dir_fd, b"0.state"), read(dir_fd, b"1.state")
    assert ours is not None
    assert theirs is not None
    assert ours.foreign is None
    assert theirs.foreign is not None
    assert theirs.entries[0].destination == b"/d/f"


def test_verdicts_kept_beside_it_belong_to_it_until_it_is_rewritten(
    dir_fd: int, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(AXL)
    first = read(dir_fd, b"x")
    assert first is not None
    ended = {0: Ended(Verdict.FAILED, "why")}
    verdicts.write(dir_fd, b"x", id_=first.head.id, ended=ended)
    again = read(dir_fd, b"x")
    assert again is not None
    assert again.ended == ended
    (tmp_path / "x").write_bytes(pack(transfer({b"/s/g": file(b"/d/g._AXL", **metadata(3))})))
    other = read(dir_fd, b"x")
    assert other is not None
    assert other.ended == {}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (b"x", AXL[:-1], "announces"),
        (b"x", AXL[:40], "announces"),
        (b"x", AXL[:60] + b"!" + AXL[61:], "checksum mismatch"),
        (b"x", INDEX, "without a transfer"),
        (b"state", b"", "is empty"),
        (b"x", pack(transfer({}, state=9)), "STATE is 9"),
        (b"x", b"nothing of the kind", "is not a state file"),
    ],
)
def test_damage_is_one_error_that_names_the_file_and_says_that_nothing_was_touched(
    dir_fd: int, tmp_path: Path, name: bytes, content: bytes, says: str
) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(content)
    with pytest.raises(StateFileError) as caught:
        read(dir_fd, name)
    assert caught.value.message.startswith(f"/state/{name.decode()}: ")
    assert says in caught.value.message
    assert caught.value.message.endswith("; none of its files was touched")


def test_a_file_beyond_the_limit_is_damage_and_is_not_read(
    dir_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(AXL)
    monkeypatch.setattr(kvtree, "FILE_MAX", len(AXL) - 1)
    assert anyone.is_foreign(dir_fd, b"x")
    with pytest.raises(StateFileError, match="longer than"):
        read(dir_fd, b"x")


@pytest.mark.parametrize("files", [{}, {b"/bb/f": file(b"/pfs/f._AXL", **metadata(5))}])
def test_one_that_was_set_aside_is_read_however_short_it_is(
    dir_fd: int, tmp_path: Path, files: dict[bytes, Pairs]
) -> None:
    (tmp_path / "job.axl.done").write_bytes(pack(transfer(files)))
    state = read(dir_fd, b"job.axl.done")
    assert state is not None
    assert len(state.entries) == len(files)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"summary.scr", False),
        (b".summary.scr.new", False),
        (b"rank2file.0.0", False),
        (b"rank_0.state_file", True),
        (b"summary", True),
    ],
)
def test_a_damaged_file_of_scrs_own_is_no_state_file(
    dir_fd: int, tmp_path: Path, name: bytes, found: bool
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(kvtree.build({b"VERSION": {b"6": {}}})[:-3])
    assert anyone.is_foreign(dir_fd, name) is found
    path.write_bytes(pack(transfer({})))
    assert anyone.is_foreign(dir_fd, name)


def test_a_likely_name_alone_makes_no_state_file_of_somebodys_text(
    dir_fd: int, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a note of the user's\n")
    assert not anyone.is_foreign(dir_fd, b"state")
