"""`poststage emulator`, as a person types it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.sites import end_daemon, pid_of
from tests.cli.run import Ended, run

COMMANDS = ["start", "stop", "status", "fault", "detach"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "emulator"
    end_daemon(tmp_path / "emulator")


def emulator(root: Path, command: str, *arguments: object) -> Ended:
    """`poststage emulator COMMAND --root ROOT ARGUMENTS`."""
    return run("emulator", command, "--root", root, *arguments)


def test_a_start_says_who_serves_and_a_second_one_too(root: Path) -> None:
    first = emulator(root, "start")
    pid = pid_of(root)
    assert (first.code, first.out) == (0, "")
    assert first.err == f"emulator: pid {pid} serves {root}\n"
    second = emulator(root, "start")
    assert second.code == 75
    assert f"a daemon has it, pid {pid} on " in second.err
    assert "hint: " in second.err
    assert pid_of(root) == pid


def test_a_stop_can_be_repeated(root: Path) -> None:
    emulator(root, "start")
    for _ in range(2):
        stopped = emulator(root, "stop")
        assert (stopped.code, stopped.err) == (0, f"emulator: stopped, {root} is kept\n")
    assert pid_of(root) is None


def test_a_relative_root_is_the_caller_s(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("emulator", "start", "--root", "emulator", "--burst-buffer", "bb")
    assert pid_of(root) is not None


def test_a_status_tells_faults_and_transfers_as_text_and_as_json(root: Path) -> None:
    emulator(root, "start")
    emulator(root, "fault", "--limit", "20", "--fail", "data.*")
    text = emulator(root, "status")
    assert text.code == 0
    assert f"pid {pid_of(root)} since " in text.out
    assert "faults in force: fail_pattern data.*, limit_mb_s 20.0" in text.out
    assert "no transfers" in text.out
    document = emulator(root, "status", "--json").json()
    assert document["pid"] == pid_of(root)
    assert document["faults"] == {"fail_pattern": "data.*", "limit_mb_s": 20.0}
    assert document["transfers"] == []


def test_nobody_there_is_run_again_later(root: Path) -> None:
    for command in ("status", "fault", "detach"):
        answer = emulator(root, command)
        assert answer.code == 75
        assert answer.out == ""
        assert "does not answer" in answer.err


def test_a_fault_adds_to_the_others_until_they_are_cleared(root: Path) -> None:
    emulator(root, "start")
    emulator(root, "fault", "--limit", "20")
    both = emulator(root, "fault", "--hang", "--json")
    assert json.loads(both.out) == {"hang": True, "limit_mb_s": 20.0}
    assert json.loads(emulator(root, "fault", "--json").out) == json.loads(both.out)
    assert emulator(root, "fault", "--clear").err == "faults in force: none\n"
    changed = emulator(root, "fault", "--clear", "--short", "a", "--die-after", "5", "--json")
    assert json.loads(changed.out) == {"die_after_bytes": 5, "short_pattern": "a"}


def test_a_fault_that_makes_no_sense_changes_nothing(root: Path) -> None:
    emulator(root, "start")
    answer = emulator(root, "fault", "--limit", "-1")
    assert answer.code == 2
    assert "not in the range" in answer.err
    assert json.loads(emulator(root, "fault", "--json").out) == {}


def test_a_hanging_emulator_can_be_stopped(root: Path) -> None:
    emulator(root, "start")
    emulator(root, "fault", "--hang")
    assert emulator(root, "stop").code == 0
    assert pid_of(root) is None


def test_detach_takes_the_burst_buffer_away(root: Path, tmp_path: Path) -> None:
    buffer = tmp_path / "bb"
    buffer.mkdir()
    (buffer / "file").write_bytes(b"")
    emulator(root, "start", "--burst-buffer", buffer)
    assert emulator(root, "detach").err == f"emulator: holds what was {buffer}\n"
    assert not buffer.exists()
    assert emulator(root, "detach").code == 75


def test_detach_without_a_burst_buffer_is_wrong_usage(root: Path) -> None:
    emulator(root, "start")
    answer = emulator(root, "detach")
    assert answer.code == 2
    assert "holds no burst buffer" in answer.err


def test_a_killed_emulator_is_no_obstacle(root: Path) -> None:
    emulator(root, "start")
    end_daemon(root, signal.SIGKILL)
    assert emulator(root, "status").code == 75
    assert emulator(root, "stop").code == 0
    assert emulator(root, "start").code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_fits_a_terminal(command: str) -> None:
    answer = run("emulator", command, "--help")
    assert answer.code == 0
    assert "Example" in answer.out
    assert all(len(line) <= 80 for line in answer.out.splitlines())


def test_the_root_of_the_environment_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTSTAGE_EMULATOR_ROOT", str(root))
    assert run("emulator", "start").code == 0
    assert pid_of(root) is not None


def test_a_user_s_daemon_outlives_the_command(root: Path) -> None:
    emulator(root, "start")
    pid = pid_of(root)
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
