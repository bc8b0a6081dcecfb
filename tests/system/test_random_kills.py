"""Ranks, emulator and finalizer are killed at random; one clean run makes everything right.

Fifty seeded rounds (POSTSTAGE_ROUNDS changes the number). A failing round says its seed:
POSTSTAGE_SEED=N runs that round alone.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash import tally

BIN = Path(sys.executable).parent
JOB = Path(__file__).with_name("job.py")
RANKS = 4
DEADLINE_S = 60.0


def seeds() -> list[int]:
    if "POSTSTAGE_SEED" in os.environ:
        return [int(os.environ["POSTSTAGE_SEED"])]
    return list(range(int(os.environ.get("POSTSTAGE_ROUNDS", "50"))))


class Round:
    """One job with its own burst buffer, emulator, destination and state directory."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.chance = random.Random(seed)
        self.seed = seed
        for name in ("bb", "dst", "state", "expected", "pids"):
            (top / name).mkdir()
        (top / "site.toml").write_text(f'[backend.emulator]\nroot = "{top}/emulator"\n')
        self.env = os.environ | {
            "POSTSTAGE_SITE": str(top / "site.toml"),
            "POSTSTAGE_STATE_DIR": str(top / "state"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.top,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start_emulator(self) -> None:
        words = ("emulator", "start", "--root", "emulator", "--burst-buffer", "bb")
        done = self.command("poststage", *words)
        assert done.returncode == 0, done.stderr

    def emulator_pid(self) -> int:
        done = self.command("poststage", "emulator", "status", "--root", "emulator", "--json")
        return int(json.loads(done.stdout)["pid"])

    def kill_emulator(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.emulator_pid(), signal.SIGKILL)
        self.start_emulator()

    def run_job(self) -> None:
        """The job; in most rounds one rank is killed at some moment of it."""
        dirs = ("bb", "dst", "expected", "pids")
        job = subprocess.Popen(
            ["mpirun", "-n", str(RANKS), sys.executable, str(JOB), *dirs, "2", str(self.seed)],
            cwd=self.top,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if self.chance.random() < 0.8:
            self.kill_a_rank(job)
        elif self.chance.random() < 0.5:
            self.kill_emulator()
        job.wait(timeout=DEADLINE_S)

    def kill_a_rank(self, job: subprocess.Popen[bytes]) -> None:
        victim = self.top / "pids" / str(self.chance.randrange(RANKS))
        end = time.monotonic() + DEADLINE_S
        while not (victim.exists() and victim.read_text()) and job.poll() is None:
            assert time.monotonic() < end, "the job did not start"
        moment = time.monotonic() + self.chance.uniform(0, 0.06)
        with suppress(subprocess.TimeoutExpired):
            job.wait(timeout=max(0.0, moment - time.monotonic()))
        with suppress(ProcessLookupError):
            os.kill(int(victim.read_text()), signal.SIGKILL)

    def kill_a_finalizer(self) -> None:
        """Start a finalizer and kill its process group at a random moment."""
        run = subprocess.Popen(
            ["finalize", "--dir", "state", "--deadline", "20"],
            cwd=self.top,
            env=self.env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            run.wait(timeout=self.chance.uniform(0.08, 0.5))
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait(timeout=DEADLINE_S)

    def last_finalize(self) -> dict[str, Any]:
        done = self.command("finalize", "--dir", "state", "--deadline", "40", "--json")
        assert done.returncode in {0, 3}, (done.returncode, done.stderr, done.stdout)
        report: dict[str, Any] = json.loads(done.stdout)
        return report


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.mark.parametrize("seed", seeds())
def test_whatever_was_killed_a_clean_finalize_makes_everything_right(
    place: Path, seed: int
) -> None:
    story = Round(place, seed)
    story.start_emulator()
    try:
        limit = str(story.chance.choice((1, 4, 50)))
        story.command("poststage", "emulator", "fault", "--root", "emulator", "--limit", limit)
        story.run_job()
        story.command("poststage", "emulator", "detach", "--root", "emulator")
        for _ in range(story.chance.randrange(4)):
            story.chance.choice((story.kill_a_finalizer, story.kill_emulator))()
        story.command("poststage", "emulator", "fault", "--root", "emulator", "--clear")
        report = story.last_finalize()
        everything_is_right(story, report)
        again = story.last_finalize()
        assert [one["files"] for one in again["datasets"]] == [
            one["files"] for one in report["datasets"]
        ]
        tally.pass_("random kills, rounds")
    finally:
        story.command("poststage", "emulator", "stop", "--root", "emulator")


def everything_is_right(story: Round, report: dict[str, Any]) -> None:
    """Each promised file is exact at its destination, or reported as never started and absent."""
    not_there = {
        problem["destination"]: problem
        for dataset in report["datasets"]
        for problem in dataset["problems"]
        if problem["destination"]
    }
    assert {problem["verdict"] for problem in not_there.values()} <= {"failed"}
    promised = set()
    for path in sorted((story.top / "expected").glob("step.*.?")):
        started = was_recorded(story, path.name)
        for line in path.read_text().splitlines():
            wanted = json.loads(line)
            destination = Path(wanted["destination"])
            promised.add(story.top / destination)
            if started and str(story.top / destination) not in not_there:
                assert exact(story.top / destination, wanted), destination
            else:
                assert not (story.top / destination).exists(), destination
    standing = {path for path in (story.top / "dst").rglob("*") if not path.is_dir()}
    assert standing <= promised, "a temp file or something else is left"
    for problem in not_there.values():
        assert "never started" in problem["reason"], problem


def was_recorded(story: Round, name: str) -> bool:
    """Whether the transfer that was promised as `name` came as far as a whole record."""
    dataset, _, rank = name.rpartition(".")
    base = story.top / "state" / dataset
    return any(
        b'"recorded"' in path.read_bytes()
        for path in (base / f"{rank}.state", base / f"{rank}.done")
        if path.exists()
    )


def exact(path: Path, wanted: dict[str, Any]) -> bool:
    info = path.lstat()
    facts = [info.st_size, info.st_uid, info.st_gid, info.st_mode & 0o7777]
    times = [info.st_atime_ns, info.st_mtime_ns]
    content: str = wanted["content"]
    right = facts == wanted["facts"] and times == wanted["times_ns"]
    return right and path.read_bytes().hex() == content
