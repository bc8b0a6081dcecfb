"""Copying one file: what arrives is what was there, and nothing else is touched."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poststage.copier import engine, proof
from poststage.copier.engine import CopyError, CopyStoppedError, Order
from poststage.copier.settling import copy_file

TEMP = b".file.temp"
BLOCK = 1 << 16


class Witness:
    """A watch that lets everything pass and remembers it."""

    def __init__(self, *, piece: int = engine.PIECE, before: Callable[[int], None] | None = None):
        self.piece, self.before = piece, before
        self.asked: list[tuple[int, int]] = []
        self.proofs: list[int] = []
        self.went_on_at: int | None = None
        self.cut: int | None = None

    def allow(self, offset: int, want: int) -> int:
        """Let at most `piece` bytes pass."""
        if self.before is not None:
            self.before(offset)
        self.asked.append((offset, want))
        return min(want, self.piece)

    def go_on(self) -> None:
        """Nothing is in the way."""

    def resumed(self, offset: int) -> None:
        """Remember it."""
        self.went_on_at = offset

    def proven(self, offset: int) -> None:
        """Remember it."""
        self.proofs.append(offset)

    def final_size(self, size: int) -> int:
        """The size, unless the test wants less."""
        return size if self.cut is None else self.cut


class Case:
    """A source file and a directory to copy it to."""

    def __init__(self, folder: Path, source_folder: Path | None = None) -> None:
        self.source = (source_folder or folder) / "source"
        self.source.write_bytes(b"")
        self.directory = folder / "pfs"
        self.directory.mkdir(exist_ok=True)
        self.target = self.directory / os.fsdecode(TEMP)
        self._fds: list[int] = []

    def order(self) -> Order:
        """Copy the source as it is now."""
        info = self.source.stat()
        fds = [os.open(self.source, os.O_RDONLY), os.open(self.directory, os.O_RDONLY)]
        self._fds += fds
        return Order(fds[0], fds[1], TEMP, info.st_size, info.st_mtime_ns)

    def close(self) -> None:
        """Close what `order` opened."""
        while self._fds:
            os.close(self._fds.pop())


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    made = Case(tmp_path_factory.mktemp("engine"))
    yield made
    made.close()


def write_layout(path: Path, layout: list[bool], tail: int) -> None:
    """Blocks of data (True) and holes, and a last part of `tail` bytes of data or hole."""
    with path.open("wb") as file:
        for place, data in enumerate(layout):
            if data:
                file.seek(place * BLOCK)
                file.write(os.urandom(BLOCK))
        file.truncate(len(layout) * BLOCK + tail)


def when(place: int, act: Callable[[], None]) -> Callable[[int], None]:
    """Act when the copy comes to the offset `place`."""

    def look(offset: int) -> None:
        if offset == place:
            act()

    return look


@given(
    layout=st.lists(st.booleans(), max_size=12),
    tail=st.integers(0, BLOCK),
    piece=st.sampled_from([1000, BLOCK, engine.PIECE]),
)
def test_any_layout_of_data_and_holes_arrives(
    shared: Case, layout: list[bool], tail: int, piece: int
) -> None:
    shared.target.unlink(missing_ok=True)
    write_layout(shared.source, layout, tail)
    copy_file(shared.order(), Witness(piece=piece))
    shared.close()
    assert shared.target.read_bytes() == shared.source.read_bytes()


def test_holes_stay_holes(case: Case) -> None:
    write_layout(case.source, [True, *[False] * 2000, True, *[False] * 2000], 5)
    copy_file(case.order(), Witness())
    assert case.target.stat().st_size == case.source.stat().st_size
    assert case.target.stat().st_blocks <= case.source.stat().st_blocks + 16


def test_a_file_that_is_one_hole_costs_no_room(case: Case) -> None:
    os.truncate(case.source, 1 << 40)
    copy_file(case.order(), Witness())
    assert case.target.stat().st_size == 1 << 40
    assert case.target.stat().st_blocks <= 16


def test_a_file_system_without_reflinks_is_asked_for_one_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_without_reflinks", set())
    case.source.write_bytes(b"x")
    asked = []
    for _ in range(3):
        witness = Witness()
        if copy_file(case.order(), witness).how == "clone":
            pytest.skip("this file system has reflinks")
        asked.append(len(witness.asked))
        case.target.unlink()
    assert asked == [2, 1, 1]  # for all of it at once, then piece by piece


def test_between_two_file_systems_bytes_are_read_and_written(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    folder = memory / f"poststage-{os.getpid()}"
    folder.mkdir()
    case = Case(tmp_path, folder)
    try:
        write_layout(case.source, [True, False, False, True, False], 77)
        assert copy_file(case.order(), Witness()).how == "read"
        assert case.target.read_bytes() == case.source.read_bytes()
    finally:
        case.close()
        case.source.unlink()
        folder.rmdir()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o755, 0o777, 0o6755, 0o1777, 0o000])
def test_the_mode_is_the_source_s_less_the_umask_without_set_id_bits(case: Case, mode: int) -> None:
    case.source.write_bytes(b"x")
    order = case.order()
    case.source.chmod(mode)
    before = os.umask(0o027)
    try:
        copy_file(order, Witness())
    finally:
        os.umask(before)
    assert stat.S_IMODE(case.target.stat().st_mode) == mode & 0o777 & ~0o027


def test_neither_times_nor_bits_of_the_source_are_touched(case: Case) -> None:
    case.source.write_bytes(b"x" * 100)
    os.utime(case.source, ns=(123456789, 987654321))
    copied = copy_file(case.order(), Witness())
    assert case.source.stat().st_mtime_ns == 987654321
    assert copied.mtime_ns == case.target.stat().st_mtime_ns != 987654321


@pytest.mark.parametrize("what", ["size", "mtime"])
def test_a_source_that_changed_before_the_copy_fails_and_nothing_is_made(
    case: Case, what: str
) -> None:
    case.source.write_bytes(b"recorded")
    order = case.order()
    if what == "size":
        case.source.write_bytes(b"longer than recorded")
    os.utime(case.source, ns=(0, order.mtime_ns + (what == "mtime")))
    with pytest.raises(CopyError, match="changed since it was recorded"):
        copy_file(order, Witness())
    assert not case.target.exists()


def test_a_source_that_changes_during_the_copy_fails(case: Case) -> None:
    case.source.write_bytes(b"x" * 3000)
    order = case.order()
    touch = when(2000, lambda: os.utime(case.source, ns=(1, 1)))
    with pytest.raises(CopyError, match="changed since it was recorded"):
        copy_file(order, Witness(piece=1000, before=touch))


def test_a_source_that_shrinks_during_the_copy_fails(case: Case) -> None:
    case.source.write_bytes(b"x" * 3000)
    order = case.order()
    shrink = when(1000, lambda: os.truncate(case.source, 1500))
    with pytest.raises(CopyError, match="changed since it was recorded"):
        copy_file(order, Witness(piece=1000, before=shrink))


def test_a_symlink_planted_at_the_temp_name_is_not_followed(case: Case, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    case.target.symlink_to(victim)
    with pytest.raises(CopyError):
        copy_file(case.order(), Witness())
    assert victim.read_bytes() == b"precious"
    assert case.target.is_symlink()


def test_a_further_name_of_another_file_planted_there_is_left_untouched(
    case: Case, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.link(victim, case.target)
    with pytest.raises(CopyError, match="left untouched"):
        copy_file(case.order(), Witness())
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_at_the_temp_name_fails_at_once(
    case: Case, make: Callable[[Path], None]
) -> None:
    make(case.target)
    with pytest.raises(CopyError):
        copy_file(case.order(), Witness())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("content", [b"theirs", b""])
def test_somebody_else_s_file_at_the_temp_name_is_left_untouched(
    case: Case, content: bytes
) -> None:
    case.target.write_bytes(content)
    os.chown(case.target, 65534, 65534)
    with pytest.raises(CopyError, match="somebody else"):
        copy_file(case.order(), Witness())
    assert case.target.read_bytes() == content


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o000])
def test_a_leftover_of_a_killed_copy_is_overwritten_whatever_its_mode(
    case: Case, mode: int
) -> None:
    case.source.write_bytes(b"whole")
    case.target.write_bytes(b"a part that was longer")
    case.target.chmod(mode)
    copy_file(case.order(), Witness())
    assert stat.S_IMODE(case.target.stat().st_mode) == mode
    case.target.chmod(0o600)
    assert case.target.read_bytes() == b"whole"


def test_a_leftover_does_not_shine_through_holes(case: Case) -> None:
    write_layout(case.source, [False, True, False, False], 100)
    case.target.write_bytes(b"leftover" * BLOCK)
    copy_file(case.order(), Witness())
    assert case.target.read_bytes() == case.source.read_bytes()


def test_pieces_are_bounded_and_asked_for_one_by_one(case: Case) -> None:
    size = 2 * engine.PIECE + 5
    os.truncate(case.source, 0)
    case.source.write_bytes(b"d" * size)
    witness = Witness()
    copy_file(case.order(), witness)
    pieces = [(offset, want) for offset, want in witness.asked if want <= engine.PIECE]
    assert [offset for offset, _ in pieces] == [0, engine.PIECE, 2 * engine.PIECE]


def test_what_is_proven_is_there_and_a_stop_leaves_it(case: Case) -> None:
    case.source.write_bytes(os.urandom(5000))

    def stop(offset: int) -> None:
        if offset == 3000:
            raise CopyStoppedError

    witness = Witness(piece=1000, before=stop)
    with pytest.raises(CopyStoppedError):
        copy_file(replace(case.order(), prove_bytes=1000), witness)
    assert witness.proofs == [1000, 2000, 3000]
    assert case.target.read_bytes() == case.source.read_bytes()[:3000]


def resumed(case: Case, *, at: int) -> int | None:
    """Where a copy goes on that was recorded as durable up to `at`; it ends right."""
    witness = Witness()
    copied = copy_file(replace(case.order(), resume_at=at), witness)
    assert case.target.read_bytes() == case.source.read_bytes()
    assert copied.mtime_ns == case.target.stat().st_mtime_ns
    assert all(offset >= (witness.went_on_at or 0) for offset, _ in witness.asked)
    return witness.went_on_at


def test_a_copy_goes_on_from_what_was_durable_and_is_the_source_s(case: Case) -> None:
    case.source.write_bytes(os.urandom(5000))
    case.target.write_bytes(case.source.read_bytes()[:3000] + b"not recorded")
    assert resumed(case, at=3000) == 3000


@pytest.mark.parametrize("damage", [0, 2 * proof.BLOCK, 3 * proof.BLOCK + 4, -1])
def test_other_bytes_in_the_very_temp_file_are_seen_and_copied_anew(
    case: Case, damage: int
) -> None:
    size = 4 * proof.BLOCK - 5
    case.source.write_bytes(os.urandom(size + 100))
    content = bytearray(case.source.read_bytes()[:size])
    content[damage] ^= 1
    case.target.write_bytes(content)
    assert resumed(case, at=size) == damage % size // proof.BLOCK * proof.BLOCK


def test_another_file_of_that_size_under_the_temp_name_counts_for_nothing(case: Case) -> None:
    case.source.write_bytes(os.urandom(5000))
    case.target.write_bytes(os.urandom(3000))
    assert resumed(case, at=3000) == 0


def test_what_a_power_cut_left_as_zeros_is_copied_anew(case: Case) -> None:
    case.source.write_bytes(os.urandom(3 * proof.BLOCK))
    case.target.write_bytes(case.source.read_bytes()[: proof.BLOCK])
    os.truncate(case.target, 3 * proof.BLOCK)
    assert resumed(case, at=3 * proof.BLOCK) == proof.BLOCK


def test_a_file_shorter_than_what_was_recorded_is_copied_anew(case: Case) -> None:
    case.source.write_bytes(os.urandom(5000))
    case.target.write_bytes(case.source.read_bytes()[:2999])
    assert resumed(case, at=3000) == 0


def test_a_copy_goes_on_within_a_hole(case: Case) -> None:
    write_layout(case.source, [True, *[False] * 40, True], 0)
    case.target.write_bytes(case.source.read_bytes()[:BLOCK])
    os.truncate(case.target, 10 * BLOCK)
    assert resumed(case, at=10 * BLOCK) == 10 * BLOCK


def test_holes_in_both_are_compared_at_no_cost(case: Case) -> None:
    os.truncate(case.source, 1 << 40)
    case.target.write_bytes(b"")
    os.truncate(case.target, 1 << 39)
    witness = Witness()
    copy_file(replace(case.order(), resume_at=1 << 39), witness)
    assert witness.went_on_at == 1 << 39


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_else_s_file_counts_for_nothing_whatever_is_in_it(case: Case) -> None:
    case.source.write_bytes(os.urandom(5000))
    case.target.write_bytes(case.source.read_bytes()[:3000])
    os.chown(case.target, 65534, 65534)
    with pytest.raises(CopyError, match="somebody else"):
        copy_file(replace(case.order(), resume_at=3000), Witness())


def test_a_temp_file_that_vanishes_on_the_way_fails(case: Case) -> None:
    case.source.write_bytes(b"x" * 3000)
    vanish = when(2000, case.target.unlink)
    with pytest.raises(CopyError, match="removed or replaced"):
        copy_file(case.order(), Witness(piece=1000, before=vanish))


def test_a_full_file_system_says_so(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.source.write_bytes(b"x" * 3000)
    order = case.order()
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space"):
            engine._Pieces(full, order, Witness(), sparse=False).copy(0)
    finally:
        os.close(full)
        case.close()


def test_a_short_file_is_made_when_a_fault_wants_one(case: Case) -> None:
    case.source.write_bytes(b"x" * 3000)
    witness = Witness()
    witness.cut = 1500
    copied = copy_file(case.order(), witness)
    assert case.target.stat().st_size == 1500
    assert copied.mtime_ns == case.target.stat().st_mtime_ns


def test_a_source_is_opened_neither_through_a_link_nor_waiting_for_a_writer(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        engine.open_source(os.fsencode(tmp_path / "link"))
    os.mkfifo(tmp_path / "fifo")
    fd = engine.open_source(os.fsencode(tmp_path / "fifo"))
    assert engine.source_change(fd, 0, 0) == "the source is not a regular file"
    os.close(fd)
