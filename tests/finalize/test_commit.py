"""The end of a state file: aside when all is published, else its verdicts on record."""

import os
from pathlib import Path

import pytest

from poststage.durable import fsops, lock
from poststage.errors import RunAgainError
from poststage.finalize.commit import commit
from poststage.finalize.outcome import outcome
from poststage.finalize.work import Job
from poststage.model import Ended, Verdict
from poststage.statefile import StateWriter
from tests.finalize import house as h
from tests.finalize.house import House


def committed(house: House, job: Job) -> bool:
    dir_fd = fsops.open_dir(os.fsencode(house.state / "d"))
    try:
        return commit(job, dir_fd)
    finally:
        os.close(dir_fd)


def came_out(house: House, *verdicts: Verdict) -> Job:
    """A state file of as many files, with these outcomes."""
    entries = [house.entry(f"f{index}", index) for index in range(len(verdicts))]
    job = house.job(*entries)
    for index, verdict in enumerate(verdicts):
        job.outcomes[index] = outcome(verdict, f"reason {index}")
    return job


def state_path(house: House) -> Path:
    return house.state / "d" / "0.state"


def test_all_published_is_set_aside_and_keeps_its_bytes(house: House) -> None:
    job = came_out(house, Verdict.PUBLISHED, Verdict.PUBLISHED)
    before = state_path(house).read_bytes()
    assert committed(house, job)
    assert h.names_in(house.state / "d") == {"0.done"}
    assert (house.state / "d" / "0.done").read_bytes() == before


@pytest.mark.parametrize("other", [one for one in Verdict if one is not Verdict.PUBLISHED])
def test_anything_else_stays_and_its_final_verdicts_are_recorded(
    house: House, other: Verdict
) -> None:
    assert committed(house, came_out(house, Verdict.PUBLISHED, other))
    assert h.names_in(house.state / "d") == {"0.state"}
    wanted = {0: Ended(Verdict.PUBLISHED, "reason 0")}
    if other.final:
        wanted[1] = Ended(other, "reason 1")
    assert h.state_at(state_path(house)).ended == wanted


def test_what_an_earlier_run_recorded_counts(house: House) -> None:
    committed(house, came_out(house, Verdict.PUBLISHED, Verdict.UNKNOWN))
    job = house.loaded()
    job.outcomes[1] = outcome(Verdict.PUBLISHED)
    assert committed(house, job)
    assert h.names_in(house.state / "d") == {"0.done"}


def test_nothing_new_changes_nothing(house: House) -> None:
    committed(house, came_out(house, Verdict.FAILED, Verdict.LOST))
    before = h.snapshot(house.state)
    job = house.loaded()
    job.outcomes[1] = outcome(Verdict.LOST)
    assert not committed(house, job)
    assert h.snapshot(house.state) == before


def test_a_transfer_that_was_never_recorded_whole_is_never_set_aside(house: House) -> None:
    house.write(house.entry(), recorded=False)
    job = house.loaded()
    job.outcomes[0] = outcome(Verdict.FAILED)
    assert not committed(house, job)
    assert h.names_in(house.state / "d") == {"0.state"}


def test_a_torn_tail_is_cut_before_the_verdicts_are_appended(house: House) -> None:
    came_out(house, Verdict.PUBLISHED, Verdict.FAILED)
    with open(state_path(house), "ab") as file:
        file.write(b'01234567 {"record":"ver')
    job = house.loaded()
    assert job.state.torn
    job.outcomes[0] = outcome(Verdict.FAILED, "why")
    assert committed(house, job)
    state = h.state_at(state_path(house))
    assert not state.torn
    assert state.ended == {0: Ended(Verdict.FAILED, "why")}


def test_a_cancel_that_was_recorded_meanwhile_is_not_cut_off(house: House) -> None:
    job = came_out(house, Verdict.PUBLISHED, Verdict.FAILED)
    fd = os.open(state_path(house), os.O_RDWR | os.O_APPEND)
    writer = StateWriter.reopen(fd, state_path(house).stat().st_size)
    writer.cancelled()
    writer.sync()
    writer.close()
    assert committed(house, job)
    state = h.state_at(state_path(house))
    assert state.cancelled
    assert set(state.ended) == {0, 1}


def test_a_state_file_that_its_agent_has_open_is_left_to_it(house: House) -> None:
    job = came_out(house, Verdict.PUBLISHED, Verdict.FAILED)
    fd = os.open(state_path(house), os.O_RDWR)
    assert lock.try_lock(fd)
    before = state_path(house).read_bytes()
    with pytest.raises(RunAgainError, match="open by its agent"):
        committed(house, job)
    os.close(fd)
    assert state_path(house).read_bytes() == before


def test_another_transfer_of_that_name_gets_no_foreign_verdicts(house: House) -> None:
    job = came_out(house, Verdict.PUBLISHED, Verdict.FAILED)
    state_path(house).unlink()
    house.write(house.entry(), part=1, parts=2).rename(state_path(house))
    before = state_path(house).read_bytes()
    with pytest.raises(RunAgainError, match="another transfer"):
        committed(house, job)
    assert state_path(house).read_bytes() == before


def test_a_symlink_in_its_place_is_not_followed(house: House) -> None:
    job = came_out(house, Verdict.PUBLISHED, Verdict.FAILED)
    state_path(house).rename(house.state / "elsewhere")
    state_path(house).symlink_to("../elsewhere")
    before = (house.state / "elsewhere").read_bytes()
    with pytest.raises(OSError, match="symbolic"):
        committed(house, job)
    assert (house.state / "elsewhere").read_bytes() == before
