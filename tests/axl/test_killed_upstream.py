"""AXL killed after any step of a transfer: `finalize --dir` ends it, or says why nobody can."""

import os
from itertools import islice
from pathlib import Path

import pytest

from poststage import config
from poststage.errors import ExitCode
from poststage.finalize import Report, finalize_dir, options_of
from poststage.statefile.axl import NEVER_DISPATCHED
from tests.axl.upstream import BUFFER, Upstream
from tests.finalize.house import meta_at, snapshot

FILES = {"large": b"l" * (2 * BUFFER + 7), "small": b"small", "empty": b""}
OPTIONS = options_of(config.load(), wait=False, jobs=1)
STEPS = 41  # of one transfer of these files: each is a kill point


def killed(top: Path, after: int, mode: int) -> tuple[Upstream, list[str]]:
    """The transfer after so many steps, and what they were."""
    one = Upstream(top, FILES, mode=mode)
    done = []
    for name, act in islice(one.steps(), after):
        act()
        done.append(name)
    return one, done


def arrived(one: Upstream) -> set[str]:
    """The files of which all bytes are there, under whatever name."""
    places = {name: (one.temp(name), one.pfs / name) for name in FILES}
    return {
        name
        for name, paths in places.items()
        if any(path.exists() and path.stat().st_size == len(FILES[name]) for path in paths)
    }


def file_of(one: Upstream, name: str) -> bytes:
    """Its contents, whatever its mode."""
    (one.pfs / name).chmod(0o600)
    content = (one.pfs / name).read_bytes()
    (one.pfs / name).chmod(one.mode)
    return content


def said(report: Report) -> set[str]:
    return {problem.reason for one in report.datasets for problem in one.problems}


def ended(one: Upstream, done: list[str]) -> None:
    """One run of the finalizer, judged by what AXL had done."""
    before, whole, last = snapshot(one.pfs), arrived(one), done[-1] if done else "free"
    state = one.state.read_bytes() if one.state.exists() else b""
    report = finalize_dir(one.state_dir, OPTIONS)
    if last.endswith(("emptied", "half of it written")):
        assert report.exit_code is ExitCode.DATA
        assert (snapshot(one.pfs), one.state.read_bytes()) == (before, state)
    elif last == "free":
        assert (report.exit_code, report.datasets) == (ExitCode.OK, ())
        assert snapshot(one.pfs) == before
    elif "dispatch: state file written" not in done:
        assert report.exit_code is ExitCode.NEEDS_PERSON
        assert said(report) == {NEVER_DISPATCHED}
        assert snapshot(one.pfs) == before
    else:
        assert set(os.listdir(one.pfs)) == whole  # no temp name is left, and no partial file
        assert report.exit_code is (ExitCode.OK if whole == set(FILES) else ExitCode.NEEDS_PERSON)
        for name in whole:
            found = meta_at(one.pfs / name)
            assert (found.size, found.mode) == (len(FILES[name]), one.mode)
            assert found.mtime_ns == 1_650_000_000_987_654_321
            assert found.atime_ns == 1_600_000_000_123_456_789
            assert file_of(one, name) == FILES[name]


@pytest.mark.parametrize("mode", [0o640, 0o6755, 0o000], ids=oct)
@pytest.mark.parametrize("after", range(STEPS + 1))
def test_whatever_axl_was_killed_after_is_ended_by_one_run(
    tmp_path: Path, after: int, mode: int
) -> None:
    one, done = killed(tmp_path / "t", after, mode)
    assert len(done) == after
    ended(one, done)
    before = snapshot(one.state_dir), snapshot(one.pfs)
    again = finalize_dir(one.state_dir, OPTIONS)
    assert (snapshot(one.state_dir), snapshot(one.pfs)) == before
    assert sum(dataset.changed for dataset in again.datasets) == 0


def test_every_step_is_a_point(tmp_path: Path) -> None:
    _, done = killed(tmp_path / "t", STEPS + 9, 0o640)
    assert (len(done), done[-1]) == (STEPS, "free")
