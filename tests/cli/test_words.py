"""What commands say is true where they say it: hints, next steps, reasons."""

from pathlib import Path

from poststage.backends.base import Answer, FileAnswer
from poststage.cli.standing import advice, sentence, standing
from poststage.cli.survey import Part
from poststage.cli.transfers import reason_of
from poststage.model import TransferState
from tests.cli.run import head, put, run, running
from tests.vectors.words import HANDLE, STARTED, entry, recorded

OPEN = Part(
    b"0.state", id="a", dataset="set", part=0, parts=1, recorded=True, files=1, open_entries=1
)


def test_an_emulator_that_is_not_there_is_told_how_to_be_started(tmp_path: Path) -> None:
    ended = run("emulator", "status", "--root", tmp_path)
    assert ended.code == 75
    assert f"poststage emulator start --root {tmp_path}" in ended.err


def test_stopping_where_there_is_nothing_does_not_say_stopped(tmp_path: Path) -> None:
    ended = run("emulator", "stop", "--root", tmp_path / "no")
    assert ended.code == 0
    assert "is not there; nothing was stopped" in ended.err


def test_the_emulator_of_the_site_is_the_one_that_is_meant(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(f'[backend.emulator]\nroot = "{tmp_path}/own"\n')
    ended = run("emulator", "status", POSTSTAGE_SITE=str(site), POSTSTAGE_EMULATOR_ROOT="")
    assert f"{tmp_path}/own" in ended.err


def test_what_is_set_aside_is_shown_as_published(tmp_path: Path) -> None:
    path = put(tmp_path / "set/0.done", head("set"), entry(), recorded(1), HANDLE, STARTED)
    ended = run("show", path)
    assert "entries   1: 1 published" in ended.out
    assert "without a recorded verdict" not in ended.out


def test_of_garbage_nothing_is_said_to_be_above(tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    path.write_bytes(b"garbage\nmore\n")
    ended = run("show", path)
    assert ended.code == 65
    assert "above" not in ended.err


def test_a_cancel_that_nobody_answered_says_to_run_it_again(tmp_path: Path) -> None:
    running(tmp_path, "set")
    ended = run("cancel", "--dir", tmp_path, POSTSTAGE_EMULATOR_ROOT=str(tmp_path / "no"))
    assert ended.code == 75
    assert "next: run this again" in ended.err
    assert "finalize publishes" not in ended.err


def test_a_cancelled_transfer_is_not_promised_to_be_published() -> None:
    now = standing(b"set", [OPEN], {"a": (TransferState.CANCELED, "")})
    assert "deletes" in advice(now)


def test_a_reason_that_only_repeats_the_state_is_said_once() -> None:
    now = standing(b"set", [OPEN], {"a": (TransferState.STOPPED, "stopped")})
    assert sentence(now).count("stopped") == 1


def test_a_failure_has_the_reason_of_its_file() -> None:
    files = {0: FileAnswer(TransferState.FULLSUCCESS), 1: FileAnswer(TransferState.FAILED, "why")}
    assert reason_of(Answer(TransferState.FAILED, files)) == "why"
    assert reason_of(Answer(TransferState.FAILED, files, "own")) == "own"


def test_a_job_without_a_state_root_is_told_what_does_not_count() -> None:
    ended = run("finalize", "--job", "5", POSTSTAGE_STATE_DIR="/nowhere")
    assert ended.code == 2
    assert "set POSTSTAGE_STATE_DIR" not in ended.err
    assert "give --dir" in ended.err
