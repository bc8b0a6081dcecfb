"""What is proven of a temp file: the bytes that are the source's, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.copier import proof
from poststage.copier.proof import BLOCK
from tests.finalize.kernel import calls_of

SIZE = 3 * BLOCK - 7


class Pair:
    """A source and a temp file of the same bytes, open."""

    def __init__(self, folder: Path) -> None:
        content = os.urandom(SIZE)
        names = folder / "source", folder / "temp"
        for name in names:
            name.write_bytes(content)
        self.source_fd, self.temp_fd = (os.open(name, os.O_RDWR) for name in names)

    def proven(self, recorded: int = SIZE) -> int:
        """What is proven of so many bytes."""
        return proof.proven(self.source_fd, self.temp_fd, recorded, lambda: None)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    os.close(made.source_fd)
    os.close(made.temp_fd)


def test_all_is_proven_that_is_the_same(pair: Pair) -> None:
    assert pair.proven() == SIZE
    assert pair.proven(0) == 0
    assert pair.proven(5) == 5


@given(at=st.integers(0, SIZE - 1))
def test_one_other_byte_ends_the_proof_at_its_block(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    pair = Pair(tmp_path_factory.mktemp("pair"))
    os.pwrite(pair.temp_fd, bytes([os.pread(pair.source_fd, 1, at)[0] ^ 1]), at)
    assert pair.proven() == at // BLOCK * BLOCK
    assert pair.proven(at) == at
    os.close(pair.source_fd)
    os.close(pair.temp_fd)


def test_bytes_that_are_not_there_prove_nothing(pair: Pair) -> None:
    os.ftruncate(pair.temp_fd, 2 * BLOCK + 1)
    assert pair.proven() == 2 * BLOCK
    os.ftruncate(pair.source_fd, BLOCK + 1)
    os.ftruncate(pair.temp_fd, BLOCK + 1)
    assert pair.proven() == BLOCK


def test_a_hole_is_the_same_as_zeros_and_as_nothing_else(pair: Pair) -> None:
    for fd in (pair.source_fd, pair.temp_fd):
        os.ftruncate(fd, 0)
        os.ftruncate(fd, SIZE)
    assert pair.proven() == SIZE
    os.pwrite(pair.temp_fd, b"\0" * BLOCK, BLOCK)
    assert pair.proven() == SIZE
    os.pwrite(pair.temp_fd, b"x", BLOCK + 9)
    assert pair.proven() in range(1, BLOCK + 10)  # a file system's blocks say where it looks first
    os.pwrite(pair.source_fd, b"x", 3)
    assert pair.proven() == 0


def test_it_is_read_from_the_disk_and_not_from_the_cache(pair: Pair) -> None:
    assert calls_of(pair.proven)[:2] == ["fsync", "drop_cache"]


def test_whoever_asks_for_the_end_is_heard_before_each_block(pair: Pair) -> None:
    asked: list[None] = []
    proof.proven(pair.source_fd, pair.temp_fd, SIZE, lambda: asked.append(None))
    assert len(asked) == 3


def test_what_cannot_be_read_back_is_not_proven(pair: Pair, tmp_path: Path) -> None:
    blind = os.open(tmp_path / "temp", os.O_WRONLY)
    assert proof.proven(pair.source_fd, blind, SIZE, lambda: None) == 0
    os.close(blind)
