"""Symlinks are made from the record, followed nowhere, and never cost anybody a file."""

import os
from typing import Any

import pytest

from poststage.backends.base import Answer
from poststage.model import Entry, Kind, TransferState, Verdict
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.plants import PLANTS
from tests.finalize.users import OTHER, PLAIN, root_only


def symlink(house: House, name: str = "l", **changes: Any) -> Entry:
    changes = {
        "kind": Kind.SYMLINK,
        "target": b"../some where\n",
        "size": 0,
        "mode": 0o777,
        **changes,
    }
    return house.entry(name, **changes)


def stands(entry: Entry) -> bool:
    """Whether the destination is the recorded symlink, times and owner included."""
    path, info = h.path_of(entry), h.path_of(entry).lstat()
    assert entry.target is not None
    meta = entry.meta
    return (
        os.readlink(os.fsencode(path)) == entry.target
        and (info.st_mtime_ns, info.st_uid, info.st_gid) == (meta.mtime_ns, meta.uid, meta.gid)
        and not os.path.lexists(h.temp_of(entry))
    )


@pytest.mark.parametrize("target", [b"x", b"/absolute", b"\xff\x1b\n", b"t" * 4095])
def test_it_is_made_with_target_and_times(house: House, target: bytes) -> None:
    entry = symlink(house, target=target)
    assert h.verdicts(house.job(entry)) == [Verdict.PUBLISHED]
    assert stands(entry)


@root_only
def test_it_is_made_with_its_owner(house: House) -> None:
    entry = symlink(house, uid=PLAIN, gid=OTHER)
    assert h.verdicts(house.job(entry)) == [Verdict.PUBLISHED]
    assert stands(entry)


def test_made_once_it_is_not_made_again(house: House) -> None:
    entry = symlink(house)
    job = house.job(entry)
    h.settle(job)
    before = h.path_of(entry).lstat()
    (found,) = h.settle(house.loaded())
    assert (found.verdict, found.changed) == (Verdict.PUBLISHED, False)
    after = h.path_of(entry).lstat()
    assert (after.st_ino, after.st_atime_ns) == (before.st_ino, entry.meta.atime_ns)


def test_what_stood_there_when_it_was_recorded_makes_way_and_its_target_is_left_alone(
    house: House,
) -> None:
    target = h.put(house.dst / "target", b"precious")
    before = target.stat()
    (house.dst / "l").symlink_to("target")
    entry = symlink(house, prior=h.identity(house.dst / "l"))
    assert h.verdicts(house.job(entry)) == [Verdict.PUBLISHED]
    assert stands(entry)
    assert target.stat() == before
    assert h.names_in(house.dst) == {"target", "l"}


@pytest.mark.parametrize("age", [-9, 9])
def test_what_has_come_since_is_kept_beside_it(house: House, age: int) -> None:
    h.put(house.dst / "l", b"theirs", mtime_ns=h.MTIME_NS + age)
    entry = symlink(house)
    assert h.verdicts(house.job(entry)) == [Verdict.CONFLICT]
    new, old = h.path_of(entry), h.aside_of(entry)
    link, file = (new, old) if age < 0 else (old, new)
    assert link.is_symlink()
    assert file.read_bytes() == b"theirs"
    assert h.names_in(house.dst) == {new.name, old.name}


@pytest.mark.parametrize(
    "plant", [*sorted(set(PLANTS) - {"a symlink", "a symlink to itself"}), "a file"]
)
def test_what_stands_at_its_temp_name_and_is_no_symlink_is_kept(house: House, plant: str) -> None:
    entry = symlink(house)
    temp = h.temp_of(entry)
    PLANTS.get(plant, lambda path: path.write_bytes(b"x"))(temp)
    before = temp.lstat()
    (found,) = h.settle(house.job(entry))
    assert found.verdict is Verdict.LOST
    assert temp.lstat() == before
    assert h.names_in(house.dst) == {temp.name}


def test_a_leftover_with_another_target_is_made_anew(house: House) -> None:
    entry = symlink(house)
    h.temp_of(entry).symlink_to("elsewhere")
    assert h.verdicts(house.job(entry)) == [Verdict.PUBLISHED]
    assert stands(entry)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (TransferState.CANCELED, Verdict.FAILED),
        (TransferState.UNKNOWN, Verdict.UNKNOWN),
        (TransferState.INPROGRESS, Verdict.RUNNING),
        (TransferState.STOPPED, Verdict.RUNNING),
    ],
)
def test_it_is_made_only_when_its_transfer_has_ended_and_was_not_cancelled(
    house: House, state: TransferState, verdict: Verdict
) -> None:
    job = house.job(symlink(house), answer=Answer(state, reason="why"))
    (found,) = h.settle(job)
    assert found.verdict is verdict
    assert found.reason.endswith("why")  # a stopped one says what to do besides
    assert h.names_in(house.dst) == set()


def test_without_its_directory_it_is_told_and_the_others_are_made(house: House) -> None:
    job = house.job(symlink(house, "gone/l", index=0), symlink(house, "l", index=1))
    assert h.verdicts(job) == [Verdict.UNKNOWN, Verdict.PUBLISHED]
