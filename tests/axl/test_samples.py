"""Every recorded directory of AXL ends as expected.py says, by `finalize --dir` alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.axl.expected import SAMPLES, Sample, Want
from tests.axl.lay import SHARED, digest, place, require_samples
from tests.cli.run import Ended, run
from tests.finalize.house import snapshot


def finalized(top: Path) -> Ended:
    return run("--dir", top, "--json", "--no-wait", program="finalize")


def names_in(directory: Path) -> set[bytes]:
    return set(os.listdir(os.fsencode(directory))) if directory.exists() else set()


def contents(top: Path) -> dict[bytes, str]:
    directory = os.fsencode(top)
    return {name: digest(os.path.join(directory, name)) for name in names_in(top)}


def dataset(ended: Ended) -> dict[str, Any]:
    [found] = ended.json()["datasets"]
    assert isinstance(found, dict)
    return found


def is_as_wanted(path: bytes, want: Want) -> bool:
    info = os.lstat(path)
    root = os.geteuid() == 0
    ids = (want.uid, want.gid) if root else (os.geteuid(), os.getegid())
    assert stat.S_ISREG(info.st_mode)
    assert (info.st_uid, info.st_gid) == ids
    assert stat.S_IMODE(info.st_mode) == want.mode
    assert (info.st_atime_ns, info.st_mtime_ns) == (want.atime_ns, want.mtime_ns)
    assert info.st_nlink == 1
    return (info.st_size, digest(path)) == (want.size, want.sha256)


def test_every_recording_has_an_expected_end() -> None:
    require_samples()
    listed = subprocess.check_output([sys.executable, SHARED / "place.py", "--list"], text=True)
    assert listed.split() == sorted(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_recording_ends_as_it_was_written_down_before(sample: str, tmp_path: Path) -> None:
    want: Sample = SAMPLES[sample]
    top = place(sample, tmp_path / sample)
    state, sources, laid = (
        (top / "state").read_bytes(),
        snapshot(top / "src"),
        contents(top / "dst"),
    )
    ended = finalized(top)
    assert ended.code == want.exit_code, ended.err
    assert names_in(top / "dst") == set(want.published) | want.untouched
    for name, file in want.published.items():
        assert is_as_wanted(os.path.join(os.fsencode(top / "dst"), name), file)
    for name in want.untouched:
        assert contents(top / "dst")[name] == laid[name]
    left = names_in(top) - {b"src", b"dst", b".finalize.lock", b"finalize.report.json"}
    own = {b"state.axl.done"} if want.set_aside else {b"state"}
    assert left == own | ({b"state.axl.verdicts"} if want.sidecar else set())
    assert (top / os.fsdecode(min(own))).read_bytes() == state
    assert snapshot(top / "src") == sources
    assert dataset(ended)["files"] == want.verdicts
    assert want.says in ended.out
    assert dataset(ended)["complete"] is (want.exit_code == 0)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_second_run_says_the_same_and_changes_nothing(sample: str, tmp_path: Path) -> None:
    top = place(sample, tmp_path / sample)
    first = finalized(top)
    before = snapshot(top)
    second = finalized(top)
    assert second.code == first.code
    assert snapshot(top) == before
    assert {**dataset(second), "changed": 0} == {**dataset(first), "changed": 0}
    assert all(
        is_as_wanted(os.path.join(os.fsencode(top / "dst"), name), want)
        for name, want in SAMPLES[sample].published.items()
    )


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_dry_run_foresees_the_end_and_changes_nothing(sample: str, tmp_path: Path) -> None:
    top = place(sample, tmp_path / sample)
    before = snapshot(top)
    ended = run("--dir", top, "--json", "--dry-run", program="finalize")
    assert snapshot(top) == before
    assert ended.code == SAMPLES[sample].exit_code
    assert dataset(ended)["files"] == SAMPLES[sample].verdicts


def test_all_recordings_below_one_directory_are_found_whatever_lies_beside_them(
    tmp_path: Path,
) -> None:
    for sample in SAMPLES:
        place(sample, tmp_path / "all" / sample)
    ended = finalized(tmp_path / "all")
    assert ended.code == 65
    assert {one["directory"] for one in ended.json()["datasets"]} == set(SAMPLES)
    for sample, want in SAMPLES.items():
        assert names_in(tmp_path / "all" / sample / "dst") == set(want.published) | want.untouched
