"""A whole run over a STATEDIR: windows, deferred directories, notes, exit codes, bounds."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poststage.errors import ExitCode, PoststageError, RunAgainError, UsageError
from poststage.finalize import window
from poststage.finalize.report import Report
from poststage.finalize.run import Run, finalize_dir
from poststage.model import Entry, Kind
from poststage.simulate import tree
from poststage.simulate.tree import Shape
from tests.finalize import house as h
from tests.finalize.house import House, Vendor


def run(house: House, vendor: Vendor, **choices: Any) -> Report:
    return finalize_dir(house.state, vendor.options(wait=False, **choices))


def arrived(house: House, vendor: Vendor, *entries: Entry, part: int = 0, parts: int = 1) -> None:
    """A state file whose transfer has ended well, and the temp files."""
    for entry in entries:
        if entry.kind is Kind.FILE:
            house.moved(entry)
    house.write(*entries, part=part, parts=parts, handle=vendor.says(part))


def counts(report: Report) -> list[dict[str, int]]:
    return [one.files for one in report.datasets]


def test_everything_is_published_set_aside_and_told(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry("a"), part=0, parts=2)
    arrived(house, vendor, house.entry("b"), part=1, parts=2)
    report = run(house, vendor)
    assert report.exit_code is ExitCode.OK
    assert report.datasets[0].complete
    assert report.datasets[0].changed == 2
    assert h.names_in(house.state / "d") == {"0.done", "1.done"}
    assert h.is_published(house.entry("a"))


def test_a_second_run_takes_no_lock_and_changes_nothing(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry("a"))
    run(house, vendor)
    (house.state / ".finalize.lock").unlink()
    before = h.snapshot(house.state, house.dst)
    report = run(house, vendor)
    assert (report.exit_code, report.datasets[0].changed) == (ExitCode.OK, 0)
    assert h.snapshot(house.state, house.dst) == before


def test_more_state_files_than_a_window_takes_are_done_in_several(
    house: House, vendor: Vendor
) -> None:
    count = window._STATES_MAX + 3
    for part in range(count):
        arrived(house, vendor, house.entry(f"f{part}"), part=part, parts=count)
    report = run(house, vendor)
    assert counts(report) == [{"published": count}]
    assert report.datasets[0].complete


@pytest.mark.parametrize("jobs", [2, 4])
def test_several_processes_come_to_the_same_end(house: House, vendor: Vendor, jobs: int) -> None:
    for part in range(9):
        arrived(house, vendor, house.entry(f"f{part}"), part=part, parts=9)
    report = run(house, vendor, jobs=jobs)
    assert counts(report) == [{"published": 9}]
    assert (report.datasets[0].complete, report.datasets[0].changed) == (True, 9)


def test_several_processes_replace_one_recorded_file_and_keep_every_byte(
    house: House, vendor: Vendor
) -> None:
    prior = h.identity(h.put(house.dst / "f", b"old"))
    for part in range(8):
        entry = house.entry("f", part, size=1, prior=prior)
        house.moved(entry, b"%d" % part)
        house.write(entry, part=part, parts=8, handle=vendor.says(part))
    report = run(house, vendor, jobs=4)
    assert counts(report) == [{"conflict": 7, "published": 1}]
    assert sorted(h.read(path) for path in house.dst.iterdir()) == [b"%d" % k for k in range(8)]


def test_a_closed_directory_gets_its_mode_when_the_last_part_is_done(
    house: House, vendor: Vendor
) -> None:
    (house.dst / "sub").mkdir(mode=0o700)
    closed = house.entry("sub", 0, kind=Kind.DIRECTORY, mode=0o555)
    arrived(house, vendor, closed, house.entry("sub/a", 1), part=0, parts=2)
    house.write(house.entry("sub/b"), part=1, parts=2, handle=vendor.says(1, "INPROGRESS"))
    first = run(house, vendor)
    assert first.exit_code is ExitCode.RUN_AGAIN
    assert first.datasets[0].parts_seen == 2
    assert counts(first) == [{"published": 1, "running": 2}]
    assert (house.dst / "sub").stat().st_mode & stat.S_IWUSR
    house.moved(house.entry("sub/b"))
    vendor.says(1)
    second = run(house, vendor)
    assert second.exit_code is ExitCode.OK
    assert stat.S_IMODE((house.dst / "sub").stat().st_mode) == 0o555
    assert h.names_in(house.state / "d") == {"0.done", "1.done"}


def test_what_was_changed_before_a_directorys_mode_waited_is_counted(
    house: House, vendor: Vendor
) -> None:
    (house.dst / "sub").mkdir(mode=0o700)
    closed = house.entry("sub", 0, kind=Kind.DIRECTORY, mode=0o555)
    arrived(house, vendor, closed, house.entry("sub/a", 1), house.entry("sub/b", 2))
    assert run(house, vendor).datasets[0].changed == 3


def test_a_directory_stays_open_while_a_state_file_of_its_dataset_cannot_be_read(
    house: House, vendor: Vendor
) -> None:
    (house.dst / "sub").mkdir(mode=0o700)
    closed = house.entry("sub", 0, kind=Kind.DIRECTORY, mode=0o555)
    arrived(house, vendor, closed, house.entry("sub/a", 1), part=0, parts=2)
    house.write(house.entry("sub/b"), part=1, parts=2).write_bytes(b"damaged" * 20_000)
    report = run(house, vendor)
    assert report.exit_code is ExitCode.DATA
    assert (house.dst / "sub").stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize(
    ("state", "files", "code"),
    [
        ("FULLSUCCESS", {}, ExitCode.OK),
        ("FAILED", {0: "FAILED"}, ExitCode.NEEDS_PERSON),
        ("INPROGRESS", {}, ExitCode.RUN_AGAIN),
        ("STOPPED", {}, ExitCode.RUN_AGAIN),
        ("UNKNOWN", {}, ExitCode.RUN_AGAIN),
        ("CANCELED", {}, ExitCode.NEEDS_PERSON),
    ],
)
def test_each_answer_has_its_exit_code(
    house: House, vendor: Vendor, state: str, files: dict[int, str], code: ExitCode
) -> None:
    house.moved(house.entry())
    house.write(house.entry(), handle=vendor.says(0, state, files))
    assert run(house, vendor).exit_code is code


def test_damage_comes_before_a_person_and_a_person_before_another_run(
    house: House, vendor: Vendor
) -> None:
    house.write(house.entry(), part=0, parts=3, handle=vendor.says(0, "INPROGRESS"))
    assert run(house, vendor).exit_code is ExitCode.NEEDS_PERSON  # parts 1 and 2 are missing
    house.write(house.entry("b"), part=1, parts=3).write_bytes(b"damaged" * 20_000)
    assert run(house, vendor).exit_code is ExitCode.DATA


@pytest.mark.parametrize("call_s", [0.0, 1.0], ids=["by itself", "many threads"])
def test_with_few_descriptors_many_directories_are_done_in_one_run(
    house: House, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, call_s: float
) -> None:
    monkeypatch.setattr(Run, "call_s", lambda self, pending: call_s)
    names = [f"{index}/f" for index in range(150)]
    for part in range(5):
        entries = [house.entry(name, index) for index, name in enumerate(names[part::5])]
        for entry in entries:
            (house.dst / entry.destination.split(b"/")[-2].decode()).mkdir()
            house.moved(entry)
        house.write(*entries, part=part, parts=5, handle=vendor.says(part))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
    try:
        report = finalize_dir(house.state, vendor.options(jobs=0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert report.exit_code is ExitCode.OK
    assert report.datasets[0].files == {"published": 150}


def test_a_lock_that_cannot_be_made_is_told_with_its_cause(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry())
    (house.state / ".finalize.lock").mkdir()
    with pytest.raises(PoststageError, match=r"lock"):
        run(house, vendor, deadline_s=0.5)
    assert not h.is_published(house.entry())


def test_a_report_that_cannot_be_written_is_a_note_and_no_failure_of_the_files(
    house: House, vendor: Vendor
) -> None:
    arrived(house, vendor, house.entry())
    (house.state / "d.report.json").mkdir()
    report = run(house, vendor)
    assert h.is_published(house.entry())
    assert len(report.notes) == 1
    assert "not written" in report.notes[0]
    assert report.exit_code is ExitCode.OK
    (house.state / "d.report.json").rmdir()
    assert run(house, vendor).notes == ()
    assert (house.state / "d.report.json").is_file()


def test_asked_to_stop_it_ends_at_once_and_says_run_again(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry())
    report = finalize_dir(house.state, vendor.options(), stop=lambda: True)
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert not h.is_published(house.entry())


def test_waiting_ends_with_the_deadline(house: House, vendor: Vendor) -> None:
    house.write(house.entry(), handle=vendor.says(0, "INPROGRESS"))
    report = finalize_dir(house.state, vendor.options(deadline_s=0.3))
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert 0.2 < report.seconds < 3


def test_a_stopped_transfer_is_not_waited_for(house: House, vendor: Vendor) -> None:
    """Nobody copies it now; `poststage resume` does, where the source is."""
    house.write(house.entry(), handle=vendor.says(0, "STOPPED"))
    report = finalize_dir(house.state, vendor.options(deadline_s=15.0))
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert report.seconds < 5


def test_a_dry_run_needs_no_lock_and_changes_nothing(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry())
    before = h.snapshot(house.state, house.dst, vendor.ledger)
    report = run(house, vendor, dry_run=True)
    assert (report.dry_run, report.datasets[0].changed) == (True, 1)
    assert h.snapshot(house.state, house.dst, vendor.ledger) == before


def test_a_missing_statedir_is_wrong_usage(house: House, vendor: Vendor) -> None:
    house.state = house.state / "missing"
    with pytest.raises(UsageError):
        run(house, vendor)


def test_state_files_of_statedir_itself_are_a_dataset_too(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry())
    (house.state / "d" / "0.state").rename(house.state / "0.state")
    assert run(house, vendor).exit_code is ExitCode.OK
    assert "0.done" in h.names_in(house.state)
    assert "finalize.report.json" in h.names_in(house.state)


def test_who_holds_the_lock_is_waited_for_until_the_deadline(house: House, vendor: Vendor) -> None:
    arrived(house, vendor, house.entry())
    fd = os.open(house.state / ".finalize.lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(RunAgainError, match="another process holds"):
        run(house, vendor, deadline_s=0.3)
    os.close(fd)
    assert run(house, vendor).exit_code is ExitCode.OK


_RUN = """
import sys
from pathlib import Path
from poststage import config
from poststage.finalize.options import options_of
from poststage.finalize.run import Run, finalize_dir
report = finalize_dir(Path(sys.argv[1]), options_of(config.load(Path(sys.argv[2])), jobs=1))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(report.exit_code), *report.datasets[0].files.values(), peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [Shape(16_384, 1, size=0), Shape(1, 100_000, size=0)], ids=["states", "entries"]
)
def test_memory_grows_neither_with_the_state_files_nor_with_their_entries(
    tmp_path: Path, shape: Shape
) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\nbackend = "simulated"\nallowed_backends = ["simulated"]\n')
    tree.lay(tmp_path, shape)
    command = [sys.executable, "-c", _RUN, str(tree.state_dir(tmp_path)), str(site)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    code, files, peak_kib = map(int, ended.stdout.split())
    assert (code, files) == (0, shape.ranks * shape.files)
    assert peak_kib < 100 << 10
    assert tree.wrong(tmp_path, shape) == ""
