"""The story that `make demo` tells, asserted from what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poststage.model import Kind, Meta
from poststage.statefile import read_state

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
FAILED = "timestep.1/data.2"


class Told:
    """A told demo: its directory and what it printed."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            [sys.executable, str(DEMO), str(top)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.status, self.text = done.returncode, done.stdout + done.stderr
        # Before anybody reads a file: reading changes its atime.
        self.stats = {os.fsencode(path): path.lstat() for path in (top / "lustre").rglob("*")}

    def recorded(self) -> dict[bytes, Meta]:
        """What the state files say of each file: destination → metadata."""
        found = {}
        for path in (self.top / "state").glob("*/*.*"):
            with open(path, "rb") as file:
                state = read_state(file.fileno(), os.fsencode(path))
            assert state is not None
            files = (entry for entry in state.entries if entry.kind is Kind.FILE)
            found.update({entry.destination: entry.meta for entry in files})
        return found

    def sources(self) -> dict[str, Path]:
        """What the job wrote, where the emulator holds it: relative name → path."""
        held = self.top / "emulator" / "held" / "0"
        return {str(path.relative_to(held)): path for path in held.rglob("*") if not path.is_dir()}

    def report(self, dataset: str) -> dict[str, Any]:
        text = (self.top / "state" / f"{dataset}.report.json").read_text()
        document: dict[str, Any] = json.loads(text)
        return document


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("demo") / "demo-run")


def test_the_demo_says_that_all_went_as_it_should(told: Told) -> None:
    assert told.status == 0, told.text
    assert "Traceback" not in told.text


def test_every_file_but_the_failed_one_is_exact_at_its_destination(told: Told) -> None:
    sources = told.sources()
    assert FAILED in sources
    assert len(sources) > 20
    for name, source in sources.items():
        if name != FAILED:
            assert exact(source, told.top / "lustre" / name), name


def test_every_published_file_has_its_recorded_owner_mode_and_times(told: Told) -> None:
    recorded = told.recorded()
    failed = os.fsencode(told.top / "lustre" / FAILED)
    assert failed in recorded
    for path, meta in recorded.items():
        if path != failed:
            info = told.stats[path]
            now = Meta(
                info.st_size,
                info.st_uid,
                info.st_gid,
                info.st_mode & 0o7777,
                info.st_atime_ns,
                info.st_mtime_ns,
            )
            assert now == meta, path


def test_the_failed_file_stands_under_no_name_and_no_temp_file_is_left(told: Told) -> None:
    standing = {
        str(path.relative_to(told.top / "lustre"))
        for path in (told.top / "lustre").rglob("*")
        if not path.is_dir()
    }
    assert standing == set(told.sources()) - {FAILED}


def test_datasets_are_reported_durably_with_what_failed_and_why(told: Told) -> None:
    failed = told.report("timestep.1")
    assert not failed["report"]["complete"]
    (problem,) = failed["report"]["problems"]
    assert problem["destination"].endswith(FAILED)
    assert problem["source_gone"]
    assert "injected fault" in problem["reason"]
    for name in ("timestep.0", "timestep.2", "logs"):
        assert told.report(name)["report"]["complete"]
    assert failed["by"]["uid"] == os.geteuid()


def test_the_report_says_in_words_that_the_source_is_gone(told: Told) -> None:
    after = told.text[told.text.index("The fault is cleared") :]
    assert "its source is gone, or cannot be seen from here" in after
    assert "exit status 3: some files need a person" in after


def test_the_second_run_changed_nothing(told: Told) -> None:
    assert "The second run changed nothing at all." in told.text


def exact(source: Path, destination: Path) -> bool:
    one, other = source.lstat(), destination.lstat()
    same = ("st_size", "st_uid", "st_gid", "st_mode", "st_mtime_ns")
    return (
        all(getattr(one, name) == getattr(other, name) for name in same)
        and source.read_bytes() == destination.read_bytes()
    )


def test_who_interrupts_it_sees_no_traceback(tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = [sys.executable, str(DEMO), str(tmp_path / "demo")]
    said = ""
    with subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "app.py burst-buffer" in line:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "`make demo` begins again" in said
