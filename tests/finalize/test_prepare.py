"""All of a file but its name: what is not as recorded is kept and told; what is, is restored."""

import os

import pytest

from poststage.backends.base import Answer, FileAnswer
from poststage.errors import ExitCode
from poststage.finalize.prepare import HELD_BACK
from poststage.model import Kind, TransferState, Verdict
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.plants import PLANTS
from tests.finalize.users import OTHER, PLAIN, as_user, root_only

CLOSED = Answer(
    TransferState.FULLSUCCESS,
    {0: FileAnswer(TransferState.FULLSUCCESS, mtime_ns=h.CLOSED_NS)},
)


@pytest.mark.parametrize("mode", [0, 0o444, 0o640, 0o4755, 0o2711])
@pytest.mark.parametrize("proven", [True, False])
def test_a_whole_file_is_published_exactly(house: House, mode: int, proven: bool) -> None:
    entry = house.entry(mode=mode, checksum=h.checksum(h.NEW) if proven else None)
    house.moved(entry)
    (found,) = h.settle(house.job(entry, answer=CLOSED))
    assert (found.verdict, found.changed) == (Verdict.PUBLISHED, True)
    assert h.is_published(entry)


@pytest.mark.parametrize("answer", [CLOSED, h.DONE], ids=["vouched for", "without a closing time"])
@pytest.mark.parametrize("content", [h.NEW[:-1], h.NEW + b"x", b""], ids=["short", "long", "empty"])
def test_a_file_of_another_size_is_kept_and_gets_no_name(
    house: House, content: bytes, answer: Answer
) -> None:
    entry = house.entry()
    temp = house.moved(entry, content)
    before = temp.stat()
    (found,) = h.settle(house.job(entry, answer=answer))
    assert found.verdict is Verdict.LOST
    assert f"has {len(content)} bytes, {len(h.NEW)} were recorded" in found.reason
    assert temp.stat() == before
    assert h.names_in(house.dst) == {temp.name}


def test_a_file_written_after_its_transfer_had_ended_is_kept_and_gets_no_name(house: House) -> None:
    entry = house.entry()
    temp = house.moved(entry)
    os.utime(temp, ns=(0, h.CLOSED_NS + 1))
    (found,) = h.settle(house.job(entry, answer=CLOSED))
    assert found.verdict is Verdict.LOST
    assert "written after its transfer had ended" in found.reason
    assert h.names_in(house.dst) == {temp.name}


def test_contents_that_are_not_the_recorded_ones_get_no_name_and_nothing_is_changed(
    house: House,
) -> None:
    entry = house.entry(checksum=h.checksum(h.NEW[::-1]))
    temp = house.moved(entry)
    temp.chmod(0)
    before = h.meta_at(temp)
    (found,) = h.settle(house.job(entry))
    assert found.verdict is Verdict.LOST
    assert "checksum" in found.reason
    assert h.meta_at(temp) == before
    assert h.names_in(house.dst) == {temp.name}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_no_regular_file_is_kept_and_gets_no_name(house: House, plant: str) -> None:
    entry = house.entry()
    temp = h.temp_of(entry)
    PLANTS[plant](temp)
    before = temp.lstat()
    (found,) = h.settle(house.job(entry))
    assert found.verdict is Verdict.LOST
    assert "not a regular file" in found.reason
    assert temp.lstat() == before
    assert h.names_in(house.dst) == {temp.name}


def test_a_file_with_a_further_name_is_kept_and_gets_no_name(house: House) -> None:
    """Its metadata would change under the other name too, which may be another user's."""
    entry = house.entry()
    temp = house.moved(entry)
    os.link(temp, house.dst / "theirs")
    before = temp.stat()
    (found,) = h.settle(house.job(entry))
    assert found.verdict is Verdict.LOST
    assert "other names" in found.reason
    assert temp.stat() == before


@root_only
def test_a_file_of_a_third_user_is_kept_and_gets_no_name(house: House) -> None:
    entry = house.entry(uid=PLAIN)
    os.chown(house.moved(entry), OTHER, OTHER)
    (found,) = h.settle(house.job(entry))
    assert (found.verdict, found.code) == (Verdict.LOST, ExitCode.NEEDS_PERSON)
    assert f"belongs to uid {OTHER}" in found.reason


@root_only
def test_an_owner_that_may_not_be_given_is_a_matter_of_permission(common: os.PathLike[str]) -> None:
    os.chown(common, PLAIN, PLAIN)

    def tries() -> None:
        house = House(common)  # type: ignore[arg-type] # a Path, as the fixture says
        entry = house.entry(uid=OTHER)
        temp = house.moved(entry)
        (found,) = h.settle(house.job(entry))
        assert (found.verdict, found.code) == (Verdict.UNKNOWN, ExitCode.PERMISSION)
        assert "EPERM" in found.reason
        assert h.names_in(house.dst) == {temp.name}

    as_user(tries)


@pytest.mark.parametrize("plant", [*PLANTS, "a file", "a file with a further name"])
def test_a_failed_transfer_loses_exactly_its_temp_name(house: House, plant: str) -> None:
    entry = house.entry()
    temp = h.temp_of(entry)
    if plant in PLANTS:
        PLANTS[plant](temp)
    else:
        house.moved(entry, b"half")
    if plant == "a file with a further name":
        os.link(temp, house.dst / "theirs")
    h.put(house.dst / "bystander", b"x")
    before = h.names_in(house.dst)
    (found,) = h.settle(house.job(entry, answer=h.FAILED))
    if plant == "a directory":
        assert found.verdict is Verdict.LOST
        assert h.names_in(house.dst) == before
        return
    assert (found.verdict, found.reason) == (Verdict.FAILED, "disk on fire")
    assert h.names_in(house.dst) == before - {temp.name}


@pytest.mark.parametrize("state", [TransferState.UNKNOWN, TransferState.INPROGRESS])
@pytest.mark.parametrize("content", [h.NEW, b"half"])
def test_nothing_changes_before_the_transfer_has_ended(
    house: House, state: TransferState, content: bytes
) -> None:
    link = house.entry("l", 1, kind=Kind.SYMLINK, target=b"x")
    further = house.entry("g", 2, kind=Kind.LINK, link_to=0)
    directory = house.entry("d", 3, kind=Kind.DIRECTORY, mode=0o750)
    job = house.job(house.entry(), link, further, directory, answer=Answer(state, reason="why"))
    house.moved(job.state.entries[0], content)
    (house.dst / "d").mkdir(mode=0o700)
    before = h.snapshot(house.dst)
    found = h.settle(job)
    assert {one.verdict.final for one in found} == {False}
    assert h.snapshot(house.dst) == before


def test_unproven_is_published_by_its_checksum_deleted_when_short_and_kept_otherwise(
    house: House,
) -> None:
    proven = house.entry("proven", 0, checksum=h.checksum(h.NEW))
    short, full = house.entry("short", 1), house.entry("full", 2)
    wrong = house.entry("wrong", 3, checksum=h.checksum(b"x"))
    for entry in (proven, full, wrong):
        house.moved(entry)
    house.moved(short, b"half")
    answer = Answer(TransferState.FAILED, reason="it broke")
    found = h.settle(house.job(proven, short, full, wrong, answer=answer))
    assert [one.verdict for one in found] == [
        Verdict.PUBLISHED,
        Verdict.FAILED,
        Verdict.LOST,
        Verdict.LOST,
    ]
    kept = {"proven", h.temp_of(full).name, h.temp_of(wrong).name}
    assert h.names_in(house.dst) == kept


def test_what_is_held_back_is_proven_and_restored_and_keeps_its_temp_name(house: House) -> None:
    good, bad = house.entry("good", 0, mode=0o4755), house.entry("bad", 1, uid=os.geteuid())
    house.moved(good)
    house.moved(bad, b"short")
    job = house.job(good, bad)
    found = h.settle(job, hold=True)
    assert found[0].reason == HELD_BACK
    assert found[1].verdict is Verdict.LOST
    assert h.meta_at(h.temp_of(good)) == good.meta
    assert h.names_in(house.dst) == {h.temp_of(good).name, h.temp_of(bad).name}


def test_the_atime_is_exact_although_the_contents_were_proven_twice(house: House) -> None:
    """What was held back is right already when it is read again."""
    entry = house.entry(checksum=h.checksum(h.NEW))
    house.moved(entry)
    job = house.job(entry)
    h.settle(job, hold=True)
    assert h.meta_at(h.temp_of(entry)) == entry.meta
    h.settle(house.loaded())
    assert h.is_published(entry)


def test_a_file_whose_directory_is_gone_may_be_on_a_file_system_that_is_not_mounted(
    house: House,
) -> None:
    done = house.entry("gone/f", 0)
    (found,) = h.settle(house.job(done))
    assert (found.verdict, found.code) == (Verdict.UNKNOWN, ExitCode.RUN_AGAIN)
    assert "mounted" in found.reason


def test_a_failed_file_whose_directory_is_gone_has_failed(house: House) -> None:
    entry = house.entry("gone/f", 0)
    (found,) = h.settle(house.job(entry, answer=h.FAILED))
    assert found.verdict is Verdict.FAILED


def test_a_file_in_the_place_of_its_directory_is_no_error_of_the_whole_run(house: House) -> None:
    h.put(house.dst / "sub", b"x")
    inside, beside = house.entry("sub/f", 0), house.entry("f", 1)
    house.moved(beside)
    found = h.settle(house.job(inside, beside))
    assert [one.verdict for one in found] == [Verdict.UNKNOWN, Verdict.PUBLISHED]
