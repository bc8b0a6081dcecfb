"""A new transfer in an earlier one's place: only where nothing that has arrived would be lost."""

import os
from collections.abc import Iterator

import pytest

from poststage.errors import BackendError, RunAgainError, UsageError
from poststage.model import TransferState
from tests.agent.lives import Emulator, made


@pytest.fixture
def life() -> Iterator[Emulator]:
    with made(Emulator) as one:
        assert isinstance(one, Emulator)
        yield one


def again(life: Emulator) -> TransferState:
    """Hand the same part over anew; how that ends."""
    with life.agent().transfer("d", existing="new") as transfer:
        transfer.add(life.source, life.destination)
    return transfer.wait(60)


def test_without_an_earlier_one_it_is_just_a_new_one(life: Emulator) -> None:
    assert again(life) is TransferState.FULLSUCCESS


def test_by_default_an_earlier_one_is_refused(life: Emulator) -> None:
    life.begun()
    with pytest.raises(UsageError, match="exists already"):
        life.agent().transfer("d")


def test_one_that_runs_is_cancelled_and_leaves_nothing(life: Emulator) -> None:
    life.begun()
    life.copied(1)
    life.fault()
    assert again(life) is TransferState.FULLSUCCESS
    assert not life.temp.exists()
    assert life.finalized() == "published (0)"
    assert os.listdir(life.pfs) == ["f"]


def test_one_that_was_cut_off_while_it_was_recorded_is_cleared_away(life: Emulator) -> None:
    found = life.recording()
    raw = life.state_file.read_bytes()
    found.discard()
    life.state_file.write_bytes(raw)
    assert again(life) is TransferState.FULLSUCCESS


def test_one_that_has_failed_is_replaced_with_its_partial_file(life: Emulator) -> None:
    life.fault(fail_number=1, fail_after_bytes=1000)
    life.begun()
    with life.earlier() as earlier:
        assert earlier.wait(60) is TransferState.FAILED
    life.fault()
    assert again(life) is TransferState.FULLSUCCESS
    assert life.finalized() == "published (0)"


def test_what_has_arrived_and_is_not_published_is_never_dropped(life: Emulator) -> None:
    life.fault()
    life.begun()
    with life.earlier() as earlier:
        assert earlier.wait(60) is TransferState.FULLSUCCESS
    with pytest.raises(UsageError, match="1 of its files have arrived; not replaced"):
        life.agent().transfer("d", existing="new")
    assert life.finalized() == "published (0)"


def test_while_the_backend_is_silent_nothing_is_replaced(life: Emulator) -> None:
    life.begun()
    life.kill()
    before = life.state_file.read_bytes()
    with pytest.raises(BackendError, match="was not replaced"):
        life.agent().transfer("d", existing="new")
    assert life.state_file.read_bytes() == before


def test_one_whose_agent_is_at_it_is_left_alone(life: Emulator) -> None:
    life.recording()
    with pytest.raises(RunAgainError, match="still at it"):
        life.agent().transfer("d", existing="new")


def test_what_is_no_partial_file_of_ours_stays(life: Emulator) -> None:
    life.begun()
    life.copied(1)
    life.kill()
    life.temp.unlink()
    life.temp.mkdir()
    life.restart()
    with life.earlier() as earlier:
        assert earlier.wait(60).ended
    life.agent().transfer("d", existing="new").discard()
    assert life.temp.is_dir()
