"""`poststage forget`: the records of a dataset go whole or not at all; never what a job wrote."""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.run import Ended, argv, done, environment, failed, head, put, run, running, tree
from tests.durable.test_lock import holder
from tests.vectors.words import entry, recorded


def report(state_dir: Path, dataset: str) -> None:
    """The dataset's report."""
    (state_dir / f"{dataset}.report.json").write_text("{}", encoding="ascii")


def names(state_dir: Path) -> set[str]:
    """What is in `state_dir`, the lock file aside."""
    return set(tree(state_dir)) - {".finalize.lock"}


def forget(state_dir: Path, *args: str) -> Ended:
    """Run the command."""
    return run("forget", "--dir", state_dir, *args)


def test_the_records_of_what_is_done_go_with_directory_and_report(tmp_path: Path) -> None:
    for part in range(3):
        done(tmp_path, "step.0", part, 3)
    report(tmp_path, "step.0")
    ended = forget(tmp_path)
    assert ended.code == 0
    assert ended.err.startswith("forgot 1 dataset (3 state files)\n")
    assert ended.out == ""
    assert names(tmp_path) == set()


def test_the_directories_of_a_large_datasets_parts_go_with_them(tmp_path: Path) -> None:
    for part, place in ((0, "0.parts"), (256, "1.parts")):
        path = done(tmp_path, "step.0", part, 5000)
        (path.parent / place).mkdir()
        path.rename(path.parent / place / path.name)
    ended = forget(tmp_path)
    assert ended.err.startswith("forgot 1 dataset (2 state files)\n")
    assert names(tmp_path) == set()


def test_a_dataset_that_finalize_found_incomplete_is_not_done(tmp_path: Path) -> None:
    done(tmp_path, "step.0", 0, 3)
    assert run("finalize", "--dir", tmp_path).code == 3
    before = tree(tmp_path)
    ended = forget(tmp_path)
    assert "kept step.0: no state file of part 1, 2; --failed forgets it" in ended.err
    assert {**tree(tmp_path), ".finalize.lock": b""} == {**before, ".finalize.lock": b""}
    assert forget(tmp_path, "--failed").err.startswith("forgot 1 dataset (1 state file)\n")
    assert names(tmp_path) == set()


def test_a_forget_that_was_stopped_half_way_goes_on(tmp_path: Path) -> None:
    """The report went first, so nobody takes what it has removed for what never was."""
    done(tmp_path, "step.0", 0, 3)
    assert forget(tmp_path).err.startswith("forgot 1 dataset (1 state file)\n")


def test_it_can_be_run_again_at_any_time(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    assert forget(tmp_path).code == 0
    ended = forget(tmp_path)
    assert (ended.code, ended.err) == (0, "forgot 0 datasets (0 state files)\n")


@pytest.mark.parametrize("args", [[], ["--failed"]])
def test_a_dataset_of_which_anything_is_open_keeps_all_its_records(
    tmp_path: Path, args: list[str]
) -> None:
    done(tmp_path, "step.0", 0, 2)
    running(tmp_path, "step.0", 1, 2)
    before = names(tmp_path)
    ended = forget(tmp_path, *args)
    assert ended.code == 0
    assert "kept step.0: 1.state: is still open; run finalize" in ended.err
    assert names(tmp_path) == before


def test_what_failed_goes_only_when_a_person_has_seen_it(tmp_path: Path) -> None:
    failed(tmp_path, "step.0", 0, 2)
    done(tmp_path, "step.0", 1, 2)
    ended = forget(tmp_path)
    assert "kept step.0: 0.state: 1 published, 1 failed; --failed forgets it" in ended.err
    assert len(names(tmp_path)) == 3
    assert forget(tmp_path, "--failed").code == 0
    assert names(tmp_path) == set()


def test_a_damaged_file_keeps_the_dataset_and_is_65(tmp_path: Path) -> None:
    done(tmp_path, "step.0", 0, 2)
    path = done(tmp_path, "step.0", 1, 2)
    path.write_bytes(path.read_bytes().replace(b"data.1", b"data.2"))
    done(tmp_path, "step.1")
    ended = forget(tmp_path, "--failed")
    assert ended.code == 65
    assert names(tmp_path) == {"step.0/", "step.0/0.done", "step.0/1.done"}


def test_one_dataset_can_be_named(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    done(tmp_path, "step.1")
    assert forget(tmp_path, "--dataset", "step.1").code == 0
    assert names(tmp_path) == {"step.0/", "step.0/0.done"}


def test_a_dry_run_changes_nothing_and_not_even_makes_the_lock(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    before = tree(tmp_path)
    ended = forget(tmp_path, "--dry-run")
    assert ended.err == "would forget 1 dataset (1 state file)\n"
    assert tree(tmp_path) == before


def test_a_strangers_file_and_its_directory_stay(tmp_path: Path) -> None:
    path = done(tmp_path, "step.0")
    (path.parent / "notes").write_text("mine", encoding="ascii")
    (path.parent / "sub").mkdir()
    assert forget(tmp_path).code == 0
    assert names(tmp_path) == {"step.0/", "step.0/notes", "step.0/sub/"}


def test_what_symlinks_point_to_is_never_touched(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = done(elsewhere, "step.0")
    state_dir = tmp_path / "state"
    done(state_dir, "step.1")
    (state_dir / "step.0").symlink_to(elsewhere / "step.0")
    (state_dir / "step.1" / "1.done").symlink_to(path)
    forget(state_dir)
    assert path.exists()
    assert (state_dir / "step.1" / "0.done").exists()


def test_nothing_is_removed_while_a_finalizer_works(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    with holder(tmp_path / ".finalize.lock") as process:
        command = subprocess.Popen(
            argv("forget", "--dir", tmp_path), stderr=subprocess.PIPE, env=environment({})
        )
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.5)
        assert (tmp_path / "step.0" / "0.done").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command.wait(20) == 0
    assert command.stderr is not None
    command.stderr.close()
    assert names(tmp_path) == set()


def test_a_part_that_its_agent_is_writing_keeps_the_dataset(tmp_path: Path) -> None:
    path = failed(tmp_path, "step.0")
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    ended = forget(tmp_path, "--failed")
    os.close(fd)
    assert "its agent holds" in ended.err
    assert path.exists()


def test_an_empty_transfer_is_open_until_it_is_finalized(tmp_path: Path) -> None:
    put(tmp_path / "step.0" / "0.state", head("step.0"), recorded(0))
    assert forget(tmp_path).err.startswith("forgot 0 datasets")
    assert names(tmp_path) == {"step.0/", "step.0/0.state"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_a_directory_that_may_not_be_written_is_77_and_keeps_all(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    (tmp_path / "step.0").chmod(0o500)
    ended = forget(tmp_path)
    (tmp_path / "step.0").chmod(0o700)
    assert ended.code == 77
    assert "Traceback" not in ended.err
    assert "step.0/0.done" in names(tmp_path)


def cut_off(state_dir: Path) -> None:
    """One state file of an agent that was killed, one of which not even the head was written."""
    put(state_dir / "step.1" / "0.state", head("step.1"), entry())
    put(state_dir / "step.2" / "0.state")


def test_what_an_agent_was_killed_at_recording_goes_when_a_person_has_seen_it(
    tmp_path: Path,
) -> None:
    cut_off(tmp_path)
    ended = forget(tmp_path)
    assert "kept step.1: 0.state: its agent was ended at recording it; --failed" in ended.err
    assert len(names(tmp_path)) == 4
    assert forget(tmp_path, "--failed").code == 0
    assert names(tmp_path) == set()


def test_what_an_agent_is_recording_stays(tmp_path: Path) -> None:
    cut_off(tmp_path)
    fds = [os.open(path, os.O_RDONLY) for path in tmp_path.rglob("0.state")]
    for fd in fds:
        fcntl.flock(fd, fcntl.LOCK_EX)
    ended = forget(tmp_path, "--failed")
    for fd in fds:
        os.close(fd)
    assert ended.err.count("is still open") == 2
    assert len(names(tmp_path)) == 4


def told(state_dir: Path, dataset: str, problem: Mapping[str, object], **files: int) -> Path:
    """The report that a run of finalize has left of `dataset`."""
    value = {"dataset": dataset, "directory": dataset, "complete": False, "parts": 1}
    value |= {"parts_seen": 1, "files": files, "problems": [{"part": 0, "reason": "", **problem}]}
    path = state_dir / f"{dataset}.report.json"
    path.write_text(json.dumps({"report": value}), encoding="ascii")
    return path


def test_what_is_lost_goes_when_a_person_has_seen_it_and_its_temp_file_is_named(
    tmp_path: Path,
) -> None:
    state_dir, temp = tmp_path / "state", tmp_path / ".data.0.poststage"
    temp.write_text("short")
    running(state_dir, "step.0")
    problem = {"verdict": "lost", "destination": f"{tmp_path}/data.0", "temp": temp.name}
    told(state_dir, "step.0", problem, lost=1)
    assert "--failed forgets it" in forget(state_dir).err
    status = run("status", "--no-probe", "--exit-code", "--dir", state_dir)
    assert (status.code, "1 of them lost" in status.out) == (3, True)
    assert "`poststage forget --failed`" in " ".join(status.out.split())
    ended = forget(state_dir, "--failed")
    assert f"left, without a record: {temp}\n" in ended.err
    assert names(state_dir) == set()
    assert temp.read_text() == "short"


@pytest.mark.parametrize("files", [{"lost": 1, "running": 1}, {"lost": 1, "unknown": 1}, {}])
def test_nothing_goes_while_the_last_run_has_left_anything_undecided(
    tmp_path: Path, files: dict[str, int]
) -> None:
    path = running(tmp_path, "step.0")
    told(tmp_path, "step.0", {"verdict": "lost"}, **files)
    assert "is still open" in forget(tmp_path, "--failed").err
    assert path.exists()


def test_what_was_recorded_after_the_last_run_is_not_taken_for_lost(tmp_path: Path) -> None:
    path = running(tmp_path, "step.0")
    report = told(tmp_path, "step.0", {"verdict": "lost"}, lost=1)
    os.utime(report, ns=(0, path.stat().st_mtime_ns - 1))
    assert "is still open" in forget(tmp_path, "--failed").err
    assert path.exists()
