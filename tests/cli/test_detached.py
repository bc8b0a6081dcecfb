"""A finalizer in the background: started once, told of by what it leaves, again if killed."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from poststage.cli import detached
from poststage.errors import ExitCode
from tests.cli.run import done, failed, run, running
from tests.mpi.conftest import Site, own_site
from tests.site.scene import until

__all__ = ["own_site"]


@pytest.fixture
def _no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that says for ever that the job runs."""
    path = tmp_path / "bin" / "squeue"
    path.parent.mkdir()
    path.write_text('#!/bin/sh\necho "12 RUNNING"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def poll(state_dir: Path, *words: str) -> tuple[int, str]:
    """What a scheduler that polls is told."""
    ended = run("finalize", "--dir", state_dir, "--detach", "--reason", "--deadline", "20", *words)
    return ended.code, ended.out.removeprefix("poststage-result: ").strip()


def in_the_background(state_dir: Path) -> list[int]:
    """Pids of the finalizers that were started for it."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--detached" in words and b"--dir=" + os.fsencode(state_dir) in words:
            found.append(int(name))
    return found


def test_what_is_done_is_told_at_once(tmp_path: Path) -> None:
    done(tmp_path, "step")
    assert poll(tmp_path) == (0, "0 all done")
    assert in_the_background(tmp_path) == []


def test_what_needs_a_person_is_told_at_once(tmp_path: Path) -> None:
    failed(tmp_path, "step")
    code, _ = poll(tmp_path)
    assert code == 3
    assert in_the_background(tmp_path) == []


def test_what_is_open_gets_a_finalizer_whose_word_is_kept(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    running(state_dir, "step").write_bytes(b"damaged\n" * 3)
    # Damage is seen on the disk; an open entry is for the finalizer to judge.
    assert poll(state_dir)[0] == 65
    running(state_dir, "step")
    assert poll(state_dir) == (75, "75 a finalizer was started")
    until((state_dir / os.fsdecode(detached.RESULT)).exists, "no result")
    until(lambda: not in_the_background(state_dir), "it does not end")
    assert detached.stands(state_dir).code is ExitCode.RUN_AGAIN


@pytest.mark.usefixtures("_no_slurm")
def test_while_one_waits_for_the_job_no_second_one_is_started(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    running(state_dir, "step")
    words = ("--scheduler", "slurm", "--job", "12")
    assert poll(state_dir, *words) == (75, "75 a finalizer was started")
    until(lambda: detached.is_running(state_dir), "it does not run")
    assert poll(state_dir, *words) == (75, "75 a finalizer is at it")
    (pid,) = in_the_background(state_dir)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not detached.is_running(state_dir), "it does not die")
    assert poll(state_dir, *words) == (75, "75 a finalizer was started")
    until(lambda: detached.is_running(state_dir), "it does not run")
    for pid in in_the_background(state_dir):
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)


def test_its_word_counts_while_nothing_has_changed_since(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    path = running(state_dir, "step")
    detached.keep_result(state_dir, 3, "data.0: lost")
    assert detached.stands(state_dir).code is ExitCode.NEEDS_PERSON
    assert detached.stands(state_dir).reason == "data.0: lost"
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))
    assert detached.stands(state_dir).code is ExitCode.RUN_AGAIN


def test_a_word_of_success_counts_for_nothing_while_something_is_open(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    running(state_dir, "step")
    detached.keep_result(state_dir, 0, "all")
    assert detached.stands(state_dir).code is not ExitCode.OK


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"exit_code": "x"}', b'{"exit_code": 999, "reason": ""}']
)
def test_a_result_that_makes_no_sense_is_no_success(tmp_path: Path, text: bytes) -> None:
    state_dir = tmp_path / "state"
    running(state_dir, "step")
    (state_dir / os.fsdecode(detached.RESULT)).write_bytes(text)
    assert detached.stands(state_dir).code not in {ExitCode.OK, ExitCode.NEEDS_PERSON}


def test_it_outlives_the_process_group_of_its_starter(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    running(state_dir, "step")
    poll(state_dir)
    until((state_dir / os.fsdecode(detached.LOG)).exists, "no log")
    for pid in in_the_background(state_dir):
        assert os.getsid(pid) != os.getsid(0)
    until((state_dir / os.fsdecode(detached.RESULT)).exists, "no result")


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 3)])
def test_status_is_a_poll_of_what_runs_in_the_background(
    own_site: Site, fails: bool, code: int
) -> None:
    (own_site.bb / "file").write_bytes(bytes(3_000_000))
    own_site.emulate("fault", "--limit", "0.1", *(("--fail", "file") if fails else ()))
    own_site.run("poststage", "out", "--dataset", "set", "bb/file", "pfs/file")

    def status() -> int:
        return own_site.run("poststage", "status", "--no-probe", "--exit-code").returncode

    assert status() == 75
    started = own_site.run("finalize", "--detach", "--dir", own_site.state_dir)
    assert started.returncode == 75
    assert fails or status() == 75
    own_site.emulate("fault", "--limit", "50", *(("--fail", "file") if fails else ()))
    until(lambda: status() == code, "it does not end")
    assert own_site.run("finalize", "--detach", "--dir", own_site.state_dir).returncode == code
