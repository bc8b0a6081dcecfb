"""Asking a real backend how transfers stand: nothing is started, cancelled or invented."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poststage import config
from poststage.cli.asking import Asker, Stands
from poststage.cli.survey import Part
from poststage.model import TransferState
from tests.cli.run import run


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running emulator; its root."""
    root = tmp_path / "root"
    monkeypatch.setenv("POSTSTAGE_EMULATOR_ROOT", str(root))
    started = run("emulator", "start", "--root", root)
    assert started.code == 0, started.err
    yield root
    run("emulator", "stop", "--root", root)


def asked(state_dir: Path, *parts: Part) -> dict[str, Stands]:
    """The answers for `parts`."""
    asker = Asker(config.load(config.PACKAGED), state_dir)
    try:
        return asker.ask(parts)
    finally:
        asker.close()


def part(tag: str, handle: str | None = None, backend: str = "emulator") -> Part:
    """A recorded part with a file to move."""
    return Part(b"0.state", id=tag, recorded=True, moving=True, backend=backend, handle=handle)


def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline


def transfers(state_dir: Path) -> dict[str, int]:
    """What `status` says of the only dataset's transfers."""
    (dataset,) = run("status", "--json", "--dir", state_dir).json()["datasets"]
    found: dict[str, int] = dataset["transfers"]
    return found


def test_status_follows_a_transfer_from_running_to_arrived(emulator: Path, tmp_path: Path) -> None:
    run("emulator", "fault", "--root", emulator, "--limit", "1")
    (tmp_path / "data").write_bytes(bytes(range(256)) * 8000)
    out = run("out", "--state-dir", tmp_path / "s", tmp_path / "data", tmp_path / "copy")
    assert out.code == 0, out.err
    assert transfers(tmp_path / "s") == {"INPROGRESS": 1}
    run("emulator", "fault", "--root", emulator, "--limit", "0")
    until(lambda: transfers(tmp_path / "s") == {"FULLSUCCESS": 1})
    assert not (tmp_path / "copy").exists()


def test_a_tag_that_the_backend_never_heard_of_was_not_started(
    emulator: Path, tmp_path: Path
) -> None:
    assert emulator.exists()
    answers = asked(tmp_path, part("0123456789abcdef"))
    assert answers == {"0123456789abcdef": (TransferState.NOTSTARTED, "")}


def test_a_handle_that_the_backend_does_not_know_is_unknown(emulator: Path, tmp_path: Path) -> None:
    assert emulator.exists()
    state, reason = asked(tmp_path, part("0" * 16, handle="17"))["0" * 16]
    assert state is TransferState.UNKNOWN
    assert reason


def test_a_backend_that_is_away_or_not_allowed_is_unknown_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTSTAGE_EMULATOR_ROOT", str(tmp_path / "nobody"))
    answers = asked(
        tmp_path, part("1" * 16, handle="17"), part("2" * 16), part("3" * 16, backend="os")
    )
    assert {state for state, _ in answers.values()} == {TransferState.UNKNOWN}
    assert all(reason for _, reason in answers.values())


def test_parts_of_which_nothing_is_to_be_moved_are_not_asked_for(tmp_path: Path) -> None:
    unrecorded = Part(b"0.state", id="1" * 16, moving=True, backend="os")
    moved = Part(b"1.state", id="2" * 16, recorded=True, backend="os")
    assert asked(tmp_path, unrecorded, moved) == {}
