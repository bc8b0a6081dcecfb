"""AXL's transfers end by what stands at the names: real files, a whole run of the finalizer."""

import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from poststage import config
from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize import Report, finalize_dir, options_of
from poststage.finalize import axl as axl_module
from poststage.finalize.plan import Action
from poststage.finalize.seen import Facts, Fate, Seen
from poststage.model import Entry, Foreign, Kind, Meta, Verdict
from tests.axl.lay import Pairs, file, metadata, pack, transfer
from tests.finalize.house import House, meta_at, put, read, snapshot

NEW = b"the job's output\n"
MTIME_NS = 1_650_000_000_987_654_321
ATIME_NS = 1_600_000_000_123_456_789
FUTURE_NS = time.time_ns() + 86_400 * 10**9  # a source that was changed after all that is here


class Axl:
    """A directory with AXL's state file, and one of destinations."""

    def __init__(self, top: Path) -> None:
        self.top, self.dst, self.state = top / "D", top / "dst", top / "D" / "job.axl"
        self.deletes = False
        self.top.mkdir()
        self.dst.mkdir()

    def path(self, name: str = "f") -> Path:
        return self.dst / name

    def temp(self, name: str = "f", content: bytes = NEW, **kept: Any) -> Path:
        return put(self.path(name + "._AXL"), content, **kept)

    def record(self, *names: str, in_place: bool = False, **changes: Any) -> None:
        """The state file of files of `NEW`'s size; `changes` go to metadata or to the top."""
        top = {key: changes.pop(key) for key in ("state", "status", "kind") if key in changes}
        vendor = {key: changes.pop(key) for key in list(changes) if key.startswith("BB_")}
        suffix = b"" if in_place else b"._AXL"
        files: dict[bytes, Pairs] = {
            b"/bb/" + name.encode(): file(
                os.fsencode(self.path(name)) + suffix, **metadata(len(NEW), **changes)
            )
            for name in names or ("f",)
        }
        self.state.write_bytes(pack(transfer(files, **top, **vendor)))

    def run(self) -> Report:
        settings = replace(config.load(), delete_incomplete=self.deletes)
        return finalize_dir(self.top, options_of(settings, wait=False))

    def ends(self) -> tuple[ExitCode, dict[str, int], str]:
        """Exit code, count of verdicts and reasons of a run."""
        report = self.run()
        [dataset] = report.datasets
        reasons = "; ".join(problem.reason for problem in dataset.problems)
        return report.exit_code, dataset.files, reasons

    def is_published(self, name: str = "f", *, mode: int = 0o640, content: bytes = NEW) -> bool:
        meta = meta_at(self.path(name))
        times = (meta.atime_ns, meta.mtime_ns) == (ATIME_NS, MTIME_NS)
        gone = not os.path.lexists(self.path(name + "._AXL"))
        return times and gone and meta.mode == mode and read(self.path(name)) == content

    def names(self) -> set[str]:
        return set(os.listdir(self.dst))

    def records(self) -> set[str]:
        return set(os.listdir(self.top)) - {".finalize.lock", "finalize.report.json"}


DONE = (ExitCode.OK, {"published": 1}, "")
SET_ASIDE = {"job.axl.axl.done"}


@pytest.fixture
def axl(tmp_path: Path) -> Axl:
    return Axl(tmp_path)


def assert_settled(axl: Axl) -> None:
    """A second run changes nothing."""
    before = snapshot(axl.top, axl.dst)
    axl.run()
    assert snapshot(axl.top, axl.dst) == before


@pytest.mark.parametrize("mode", [0o640, 0o4755, 0o2755, 0o6711, 0o000, 0o444])
def test_a_whole_temp_file_gets_its_name_and_the_recorded_metadata(axl: Axl, mode: int) -> None:
    axl.temp()
    axl.record(MODE=0o100000 | mode)
    assert axl.ends() == DONE
    assert axl.is_published(mode=mode)
    assert axl.records() == SET_ASIDE
    assert_settled(axl)


@pytest.mark.parametrize("time_ns", [-1, -(10**18) - 7, 0, 1, 2**31 * 10**9 + 5])
def test_any_recorded_time_is_given_to_the_ns(axl: Axl, time_ns: int) -> None:
    axl.temp()
    axl.record(mtime_ns=time_ns, atime_ns=time_ns)
    assert axl.ends() == DONE
    assert (meta_at(axl.path()).mtime_ns, meta_at(axl.path()).atime_ns) == (time_ns, time_ns)


def test_a_short_temp_file_that_nobody_writes_has_failed_and_is_deleted(axl: Axl) -> None:
    axl.temp("short", NEW[:5])
    axl.temp("whole")
    axl.record("short", "whole")
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"failed": 1, "published": 1})
    assert reason == f"5 of {len(NEW)} bytes had arrived, and nobody copies the rest"
    assert axl.names() == {"whole"}
    assert axl.records() == {"job.axl", "job.axl.axl.verdicts"}
    assert_settled(axl)
    assert axl.ends() == (code, files, reason)


def test_what_is_published_once_is_not_looked_at_again(axl: Axl) -> None:
    axl.temp("short", NEW[:5])
    axl.temp("whole")
    axl.record("short", "whole")
    axl.run()
    put(axl.path("whole"), b"changed by its user")
    assert axl.ends()[1] == {"failed": 1, "published": 1}
    assert read(axl.path("whole")) == b"changed by its user"


def test_a_long_temp_file_is_kept_and_a_person_is_asked(axl: Axl) -> None:
    axl.temp(content=NEW + b"more")
    axl.record()
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert "21 bytes, 17 were recorded" in reason
    assert axl.names() == {"f._AXL"}
    assert_settled(axl)


@pytest.mark.parametrize("left", ["symlink", "directory", "fifo", "hard link"])
def test_what_is_no_plain_file_is_never_published_and_never_deleted(axl: Axl, left: str) -> None:
    path = axl.path("f._AXL")
    if left == "symlink":
        path.symlink_to(put(axl.path("target"), NEW[:5]))
    elif left == "directory":
        path.mkdir()
    elif left == "fifo":
        os.mkfifo(path)
    else:
        os.link(put(axl.path("other"), NEW[:5]), path)
    axl.record()
    assert axl.ends()[:2] == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert os.path.lexists(path)
    assert not axl.path().exists()
    assert_settled(axl)


def test_renames_that_were_cut_off_are_completed(axl: Axl) -> None:
    put(axl.path("renamed"), NEW, mode=0o640)
    os.utime(axl.path("renamed"), ns=(ATIME_NS, MTIME_NS))
    axl.temp("waiting")
    axl.record("renamed", "waiting")
    assert axl.ends() == (ExitCode.OK, {"published": 2}, "")
    assert axl.is_published("renamed")
    assert axl.is_published("waiting")


@pytest.mark.parametrize(
    ("mode", "stands_as", "mtime_ns", "recorded_ns"),
    [
        (0o4755, 0o755, MTIME_NS, MTIME_NS),  # its chown came after its chmod
        (0o640, 0o640, MTIME_NS // 10**9 * 10**9, MTIME_NS),  # Lustre keeps whole seconds
        (0o640, 0o640, MTIME_NS, 0),  # AXL does not set the epoch
    ],
)
def test_what_axl_leaves_inexact_is_made_exact_in_place(
    axl: Axl, mode: int, stands_as: int, mtime_ns: int, recorded_ns: int
) -> None:
    inode = put(axl.path(), NEW, mode=stands_as, mtime_ns=mtime_ns).stat().st_ino
    axl.record(MODE=0o100000 | mode, mtime_ns=recorded_ns)
    assert axl.ends() == DONE
    meta = meta_at(axl.path())
    assert (meta.mode, meta.mtime_ns, meta.atime_ns) == (mode, recorded_ns, ATIME_NS)
    assert axl.path().stat().st_ino == inode


@pytest.mark.parametrize("stands", ["nothing", "what is older"])
def test_what_has_not_arrived_has_failed(axl: Axl, stands: str) -> None:
    if stands != "nothing":
        put(axl.path(), b"the last job's output")
    axl.record(ctime_ns=FUTURE_NS)
    before = snapshot(axl.dst)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"failed": 1})
    assert "nothing of it is here, and nobody copies it" in reason
    assert snapshot(axl.dst) == before
    assert_settled(axl)


@pytest.mark.parametrize("stands", ["another size", "another time", "another mode"])
def test_without_a_temp_file_another_file_is_not_taken_for_the_jobs(axl: Axl, stands: str) -> None:
    content = NEW + b"!" if stands == "another size" else NEW
    mode = 0o600 if stands == "another mode" else 0o640
    mtime_ns = MTIME_NS - 10**10 if stands == "another time" else MTIME_NS
    put(axl.path(), content, mode=mode, mtime_ns=mtime_ns)
    axl.record()
    before = snapshot(axl.dst)
    assert axl.ends()[:2] == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert snapshot(axl.dst) == before
    assert_settled(axl)


def test_what_stood_there_before_the_source_was_changed_is_replaced(axl: Axl) -> None:
    put(axl.path(), b"the last job's output")
    axl.temp(mtime_ns=FUTURE_NS)
    axl.record(ctime_ns=FUTURE_NS)
    assert axl.ends() == DONE
    assert axl.is_published()
    assert axl.names() == {"f"}


def test_what_took_the_name_since_is_kept_as_a_conflict_copy(axl: Axl) -> None:
    put(axl.path(), b"somebody's")
    axl.temp()
    axl.record()
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"conflict": 1})
    assert "what stood there is now f~" in reason
    assert axl.is_published()
    [aside] = axl.names() - {"f"}
    assert read(axl.path(aside)) == b"somebody's"
    assert_settled(axl)


@pytest.mark.parametrize("ctime_ns", [FUTURE_NS, MTIME_NS], ids=["future", "past"])
def test_a_cancelled_transfer_displaces_nothing(axl: Axl, ctime_ns: int) -> None:
    put(axl.path(), b"the last job's output")
    axl.temp(mtime_ns=FUTURE_NS)
    axl.record(ctime_ns=ctime_ns, state=5)
    code, files, _ = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"conflict": 1})
    assert read(axl.path()) == b"the last job's output"
    [aside] = axl.names() - {"f"}
    assert read(axl.path(aside)) == NEW
    assert_settled(axl)


def test_a_cancelled_transfer_displaces_nothing_that_came_since_it_was_looked_at(
    axl: Axl, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = fsops.publish

    def later(dir_fd: int, temp: bytes, name: bytes) -> None:
        if name == b"f":
            put(axl.path(), b"the next job's output", mtime_ns=MTIME_NS - 1)
        publish(dir_fd, temp, name)

    axl.temp(mtime_ns=FUTURE_NS)
    axl.record(ctime_ns=FUTURE_NS, state=5)
    monkeypatch.setattr(fsops, "publish", later)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"conflict": 1})
    assert "was cancelled" in reason
    assert read(axl.path()) == b"the next job's output"
    [aside] = axl.names() - {"f"}
    assert read(axl.path(aside)) == NEW


def test_a_temp_file_older_than_its_source_is_another_transfers_and_is_kept(axl: Axl) -> None:
    axl.temp()
    axl.record(ctime_ns=FUTURE_NS)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert "older than its source" in reason
    assert axl.names() == {"f._AXL"}


@pytest.mark.parametrize("left", ["the old file", "a second copy", "its own other name"])
def test_after_a_crash_a_published_file_loses_no_more_than_its_temp_name(
    axl: Axl, left: str
) -> None:
    put(axl.path(), NEW, mode=0o640, mtime_ns=MTIME_NS)
    os.utime(axl.path(), ns=(ATIME_NS, MTIME_NS))
    if left == "its own other name":
        os.link(axl.path(), axl.path("f._AXL"))
    else:
        axl.temp(content=NEW if left == "a second copy" else b"the last job's output")
    axl.record()
    assert axl.ends() == DONE
    assert axl.is_published()
    assert axl.names() == {"f"}


def test_in_place_a_whole_file_gets_the_recorded_metadata(axl: Axl) -> None:
    put(axl.path(), NEW)
    axl.record(in_place=True, MODE=0o104750)
    assert axl.ends() == DONE
    assert axl.is_published(mode=0o4750)
    assert axl.records() == SET_ASIDE
    assert_settled(axl)


def test_in_place_an_exact_file_is_left_alone(axl: Axl) -> None:
    put(axl.path(), NEW, mode=0o640, mtime_ns=MTIME_NS)
    axl.record(in_place=True)
    before = snapshot(axl.dst)
    assert axl.ends() == DONE
    assert snapshot(axl.dst) == before


@pytest.mark.parametrize(
    ("stands", "says"),
    [
        ("short", "incomplete: 5 of 17 bytes"),
        ("long", "incomplete: 22 of 17 bytes"),
        ("missing", "nothing of it has arrived"),
        ("old", "nothing of it has arrived"),
        ("hard link", "other names"),
        ("symlink", "not a regular file"),
        ("directory", "not a regular file"),
    ],
)
def test_in_place_what_is_not_whole_is_reported_and_never_touched(
    axl: Axl, stands: str, says: str
) -> None:
    lay_in_place(axl, stands)
    before = snapshot(axl.dst)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert says in reason
    assert snapshot(axl.dst) == before
    assert_settled(axl)


def lay_in_place(axl: Axl, stands: str) -> None:
    """What AXL left under the final name, and its state file."""
    content = {"short": NEW[:5], "long": NEW + b"12345"}.get(stands, NEW)
    if stands in {"short", "long", "old", "hard link"}:
        put(axl.path(), content)
    if stands == "hard link":
        os.link(axl.path(), axl.path("other"))
    if stands == "symlink":
        axl.path().symlink_to(put(axl.path("other"), NEW))
    if stands == "directory":
        axl.path().mkdir()
    axl.record(in_place=True, **({"ctime_ns": FUTURE_NS} if stands == "old" else {}))


@pytest.mark.parametrize("stands", ["long", "old", "hard link", "symlink", "directory"])
def test_a_site_that_wants_nothing_partial_keeps_all_that_is_not(axl: Axl, stands: str) -> None:
    axl.deletes = True
    lay_in_place(axl, stands)
    before = snapshot(axl.dst)
    assert axl.ends()[:2] == (ExitCode.NEEDS_PERSON, {"lost": 1})
    assert snapshot(axl.dst) == before


def test_a_site_that_wants_nothing_partial_under_a_final_name_has_it_deleted(axl: Axl) -> None:
    axl.deletes = True
    lay_in_place(axl, "short")
    with axl.path().open("r+b"):
        assert axl.ends()[:2] == (ExitCode.RUN_AGAIN, {"running": 1})
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"failed": 1})
    assert "5 of 17 bytes had arrived" in reason
    assert axl.names() == set()
    assert_settled(axl)


def test_a_kill_after_deleting_what_was_partial_does_not_change_its_verdict(axl: Axl) -> None:
    axl.deletes = True
    lay_in_place(axl, "missing")
    assert axl.ends()[:2] == (ExitCode.NEEDS_PERSON, {"failed": 1})


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("content", [NEW, NEW[:5]])
def test_with_a_vendors_handle_and_no_answer_everything_is_kept(
    axl: Axl, in_place: bool, content: bytes
) -> None:
    put(axl.path("f" if in_place else "f._AXL"), content)
    axl.record(in_place=in_place, kind=5, BB_TransferHandle=77)
    before = snapshot(axl.dst)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.RUN_AGAIN, {"unknown": 1})
    assert "bbapi" in reason
    assert snapshot(axl.dst) == before
    assert_settled(axl)


def test_several_sources_of_one_temp_file_are_left_to_a_person(axl: Axl) -> None:
    axl.temp("x")
    to = os.fsencode(axl.path("x._AXL"))
    both = {b"/bb/a": file(to, **metadata(len(NEW))), b"/bb/b": file(to, **metadata(len(NEW)))}
    axl.state.write_bytes(pack(transfer(both)))
    assert axl.ends()[:2] == (ExitCode.NEEDS_PERSON, {"lost": 2})
    assert axl.names() == {"x._AXL"}


def test_a_directory_that_is_not_there_may_come_back(axl: Axl) -> None:
    axl.record("missing/f")
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.RUN_AGAIN, {"unknown": 1})
    assert "mounted" in reason
    axl.path("missing").mkdir()
    axl.temp("missing/f")
    assert axl.ends() == DONE


def test_never_dispatched_is_said_and_nothing_is_touched(axl: Axl) -> None:
    to = os.fsencode(axl.path("f._AXL"))
    axl.state.write_bytes(pack(transfer({b"/bb/f": file(to)}, state=1, status=1)))
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.NEEDS_PERSON, {"failed": 1})
    assert "never dispatched" in reason
    assert axl.records() == {"job.axl"}
    assert_settled(axl)


@pytest.mark.parametrize("content", [b"", b"\x95", b"\x95\x1f\xc3\xf5torn"])
def test_a_damaged_state_file_is_65_and_all_its_files_stay(axl: Axl, content: bytes) -> None:
    axl.temp()
    axl.state.write_bytes(content)
    before = snapshot(axl.dst)
    code, _, reason = axl.ends()
    assert code == ExitCode.DATA
    assert "none of its files was touched" in reason
    assert axl.state.read_bytes() == content
    assert snapshot(axl.dst) == before
    assert_settled(axl)


def test_ours_and_axls_in_one_directory_are_one_dataset_with_one_report(
    axl: Axl, tmp_path: Path
) -> None:
    (tmp_path / "house").mkdir()
    house = House(tmp_path / "house")
    ours = house.entry()
    house.moved(ours)
    house.write(ours, handle=None)
    axl.temp()
    axl.record()
    os.rename(axl.state, house.state / "d" / "job.axl")
    report = finalize_dir(house.state, options_of(config.load(), wait=False))
    [dataset] = report.datasets
    assert (dataset.parts, dataset.parts_seen) == (2, 2)
    assert dataset.files["published"] == 1
    assert axl.is_published()


def test_a_state_file_that_somebody_holds_is_still_being_written(axl: Axl) -> None:
    axl.temp(content=NEW[:5])
    axl.record()
    with open(axl.state, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert axl.ends()[:2] == (ExitCode.RUN_AGAIN, {"running": 1})
    assert axl.names() == {"f._AXL"}


def test_a_state_file_that_axl_writes_again_is_judged_anew(axl: Axl) -> None:
    axl.temp(content=NEW[:5])
    axl.record()
    assert axl.ends()[1] == {"failed": 1}
    axl.temp()
    axl.record(status=3)
    assert axl.ends() == DONE
    assert axl.records() == SET_ASIDE


def test_a_later_transfer_by_the_same_name_takes_its_place_among_what_is_done(axl: Axl) -> None:
    for _ in range(2):
        axl.temp()
        axl.record()
        assert axl.ends()[0] == ExitCode.OK
        axl.path().unlink()
    assert axl.records() == SET_ASIDE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may give files away")
def test_an_owner_that_is_not_granted_keeps_the_temp_file_and_the_state_file(axl: Axl) -> None:
    axl.temp()
    axl.record(UID=1)
    code, files, reason = axl.ends()
    assert (code, files) == (ExitCode.PERMISSION, {"unknown": 1})
    assert "EPERM" in reason
    assert axl.names() == {"f._AXL"}
    assert axl.records() == {"job.axl"}


def test_a_published_file_that_was_read_since_keeps_its_atime(axl: Axl) -> None:
    put(axl.path(), NEW, mode=0o640, mtime_ns=MTIME_NS)
    os.utime(axl.path(), ns=(ATIME_NS + 77, MTIME_NS))
    axl.record()
    assert axl.ends() == DONE
    assert meta_at(axl.path()).atime_ns == ATIME_NS + 77


def test_verdicts_of_several_runs_are_all_kept(axl: Axl) -> None:
    axl.temp("a", NEW[:5])
    axl.record("a", "missing/b")
    assert axl.ends()[1] == {"failed": 1, "unknown": 1}
    axl.path("missing").mkdir()
    axl.temp("missing/b", NEW[:5])
    assert axl.ends()[1] == {"failed": 2}
    axl.temp("a")  # somebody's by now: the verdict on it is final
    assert axl.ends()[1] == {"failed": 2}
    assert axl.names() == {"a._AXL", "missing"}


def facts(ino: int = 1, *, size: int = 17, mtime_ns: int = MTIME_NS) -> Facts:
    meta = Meta(size, os.geteuid(), os.getegid(), 0o640, ATIME_NS, mtime_ns)
    return Facts(ino, 1, stat.S_IFREG, meta, FUTURE_NS)


VENDORS = Foreign()


def judge(fate: Fate, *, one: Foreign = VENDORS, **seen: Any) -> tuple[Action, Verdict]:
    entry = Entry(Kind.FILE, b"/bb/f", b"/d/f", b"f._AXL", facts().meta)
    plan = axl_module.judged(
        Seen(entry, fate, "the vendor's words", euid=os.geteuid(), **seen), one, cancelled=False
    ).plan
    return plan.action, plan.verdict


@pytest.mark.parametrize(
    ("fate", "size", "expected"),
    [
        (Fate.DONE, 17, (Action.PUBLISH, Verdict.PUBLISHED)),
        (Fate.DONE, 5, (Action.NONE, Verdict.LOST)),
        (Fate.UNPROVEN, 17, (Action.NONE, Verdict.LOST)),
        (Fate.UNPROVEN, 5, (Action.DELETE, Verdict.FAILED)),
        (Fate.FAILED, 17, (Action.DELETE, Verdict.FAILED)),
        (Fate.UNKNOWN, 17, (Action.NONE, Verdict.UNKNOWN)),
        (Fate.PENDING, 17, (Action.NONE, Verdict.RUNNING)),
    ],
)
def test_a_vendors_answer_counts_as_for_our_own_transfers(
    fate: Fate, size: int, expected: tuple[Action, Verdict]
) -> None:
    assert judge(fate, temp=facts(size=size)) == expected


@pytest.mark.parametrize(
    ("fate", "size", "expected"),
    [
        (Fate.DONE, 17, (Action.RESTORE, Verdict.PUBLISHED)),
        (Fate.DONE, 5, (Action.NONE, Verdict.LOST)),
        (Fate.UNPROVEN, 17, (Action.NONE, Verdict.LOST)),
        (Fate.FAILED, 17, (Action.NONE, Verdict.LOST)),
        (Fate.FAILED, 5, (Action.NONE, Verdict.LOST)),
        (Fate.UNKNOWN, 17, (Action.NONE, Verdict.UNKNOWN)),
        (Fate.PENDING, 17, (Action.NONE, Verdict.RUNNING)),
    ],
)
def test_a_vendors_answer_never_deletes_a_destination(
    fate: Fate, size: int, expected: tuple[Action, Verdict]
) -> None:
    there = facts(size=size, mtime_ns=MTIME_NS + 1)
    assert judge(fate, one=Foreign(in_place=True), temp=there, destination=there) == expected


def test_what_stands_aside_and_under_the_temp_name_steps_aside() -> None:
    displaced = facts(2, size=3)
    seen = {"temp": displaced, "aside": displaced, "destination": facts(1)}
    sized = Foreign(sized=True)
    expected = (Action.SET_ASIDE, Verdict.CONFLICT)
    assert judge(Fate.UNPROVEN, one=sized, **seen) == expected


LATER = Foreign(sized=True, changed_ns=FUTURE_NS + 10**10)  # its source is younger than all


@pytest.mark.parametrize(
    ("one", "seen", "expected"),
    [
        (Foreign(sized=True), {}, Verdict.FAILED),
        (LATER, {"destination": facts(size=3)}, Verdict.FAILED),
        (Foreign(sized=True), {"destination": facts(size=3)}, Verdict.LOST),
        (VENDORS, {}, Verdict.LOST),
        (LATER, {"destination": facts()}, Verdict.PUBLISHED),
        (LATER, {"destination": facts(size=3), "aside": facts(2)}, Verdict.CONFLICT),
    ],
)
def test_without_a_temp_file_nothing_is_done_whatever_is_found_of_it(
    one: Foreign, seen: dict[str, Facts], expected: Verdict
) -> None:
    assert judge(Fate.DONE, one=one, **seen) == (Action.NONE, expected)


def test_what_was_made_exact_under_its_temp_name_is_the_jobs_however_old_it_seems() -> None:
    assert judge(Fate.UNPROVEN, one=LATER, temp=facts()) == (Action.PUBLISH, Verdict.PUBLISHED)
    other = facts(mtime_ns=MTIME_NS + 1)
    assert judge(Fate.UNPROVEN, one=LATER, temp=other) == (Action.NONE, Verdict.LOST)


def test_a_short_temp_file_that_a_process_here_still_writes_is_kept(axl: Axl) -> None:
    path = axl.temp(content=NEW[:5])
    axl.record()
    with open(path, "ab"):
        code, files, reason = axl.ends()
        assert (code, files) == (ExitCode.RUN_AGAIN, {"running": 1})
        assert "still writes it" in reason
        assert axl.names() == {"f._AXL"}
    assert axl.ends()[1] == {"failed": 1}
