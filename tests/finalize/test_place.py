"""Between the plan and the name the world may change: the outcome is a conflict, never a loss."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from poststage.finalize.dirs import Dirs
from poststage.finalize.outcome import Outcome
from poststage.finalize.place import drop_replaced, place
from poststage.finalize.prepare import prepare
from poststage.finalize.work import Step, Work
from poststage.model import Entry, Verdict
from tests.finalize import house as h
from tests.finalize.house import House

THEIRS = b"somebody was faster"
OLDER, NEWER = h.MTIME_NS - 5, h.MTIME_NS + 5


def placed(house: House, entry: Entry, meanwhile: Callable[[], object]) -> Outcome:
    """Prepare `entry`, let `meanwhile` happen, and give it its name."""
    job = house.job(entry)
    with closing(Dirs()) as dirs:
        work = Work(dirs, lambda: False)
        step = prepare(job, 0, entry, work)
        assert isinstance(step, Step)
        meanwhile()
        found = place(step, work)
        if found.verdict is Verdict.PUBLISHED and entry.prior is not None:
            return drop_replaced(step, work) or found
        return found


def contents(house: House) -> dict[str, bytes]:
    return {path.name: h.read(path) for path in house.dst.iterdir() if path.is_file()}


def free(house: House) -> Entry:
    """An entry whose destination is free."""
    entry = house.entry()
    house.moved(entry)
    return entry


def standing(house: House) -> Entry:
    """An entry whose destination holds what was recorded."""
    entry = house.entry(prior=h.identity(h.put(house.dst / "f", b"old")))
    house.moved(entry)
    return entry


def becomes(path: Path, mtime_ns: int) -> None:
    """Somebody replaces the file there, as an editor does."""
    h.put(path.with_name("editing"), THEIRS, mtime_ns=mtime_ns).rename(path)


@pytest.mark.parametrize("lay", [free, standing])
@pytest.mark.parametrize("mtime_ns", [OLDER, NEWER])
def test_what_takes_the_name_meanwhile_is_kept_and_the_newer_has_it(
    house: House, lay: Callable[[House], Entry], mtime_ns: int
) -> None:
    entry = lay(house)
    found = placed(house, entry, lambda: becomes(h.path_of(entry), mtime_ns))
    newer, older = (h.NEW, THEIRS) if mtime_ns == OLDER else (THEIRS, h.NEW)
    assert found.verdict is Verdict.CONFLICT
    assert contents(house) == {"f": newer, h.aside_of(entry).name: older}
    assert h.aside_of(entry).name in found.reason


def test_a_directory_that_takes_the_name_meanwhile_is_left_alone(house: House) -> None:
    entry = free(house)
    found = placed(house, entry, h.path_of(entry).mkdir)
    assert found.verdict is Verdict.CONFLICT
    assert h.path_of(entry).is_dir()
    assert contents(house) == {h.aside_of(entry).name: h.NEW}


def test_a_symlink_that_takes_the_name_meanwhile_is_not_followed(house: House) -> None:
    entry = free(house)
    target = h.put(house.dst / "target", b"precious")
    found = placed(house, entry, lambda: h.path_of(entry).symlink_to("target"))
    assert found.verdict is Verdict.CONFLICT
    assert target.read_bytes() == b"precious"
    assert h.NEW in contents(house).values()


def test_what_was_to_be_replaced_and_is_gone_meanwhile_is_for_the_next_run(house: House) -> None:
    entry = standing(house)
    found = placed(house, entry, h.path_of(entry).unlink)
    assert found.verdict is Verdict.UNKNOWN
    assert h.verdicts(house.loaded()) == [Verdict.PUBLISHED]
    assert h.is_published(entry)


def test_a_temp_file_that_is_gone_meanwhile_is_no_success(house: House) -> None:
    entry = free(house)
    found = placed(house, entry, h.temp_of(entry).unlink)
    assert found.verdict is Verdict.UNKNOWN
    assert contents(house) == {}


def test_a_directory_that_may_not_be_written_keeps_the_temp_file(house: House) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    entry = free(house)
    found = placed(house, entry, lambda: house.dst.chmod(0o555))
    house.dst.chmod(0o755)
    assert found.verdict is Verdict.UNKNOWN
    assert "EACCES" in found.reason
    assert contents(house) == {h.temp_of(entry).name: h.NEW}


def test_replacing_leaves_exactly_the_new_file(house: House) -> None:
    entry = standing(house)
    assert placed(house, entry, lambda: None).verdict is Verdict.PUBLISHED
    assert h.is_published(entry)
    assert contents(house) == {"f": h.NEW}


@pytest.mark.parametrize("theirs", [THEIRS, h.NEW[::-1]], ids=["other size", "same size"])
def test_what_took_the_name_between_look_and_exchange_outlives_a_crash(
    house: House, theirs: bytes
) -> None:
    """The moment itself cannot be hit; what it leaves can be laid out."""
    entry = standing(house)
    assert placed(house, entry, lambda: None).verdict is Verdict.PUBLISHED
    h.put(h.temp_of(entry), theirs, mtime_ns=OLDER)
    (found,) = h.settle(house.loaded())
    assert found.verdict in {Verdict.CONFLICT, Verdict.LOST}
    assert set(contents(house).values()) == {h.NEW, theirs}
