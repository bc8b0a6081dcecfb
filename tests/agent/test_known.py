"""Reading a STATEDIR's transfers, asking their backends, recording a cancel."""

import os
from pathlib import Path

import pytest

from poststage import config
from poststage.agent import Agent, Transfer, known
from poststage.agent.known import Known, Probes
from poststage.errors import PoststageError, RunAgainError, StateFileError, UsageError
from poststage.model import TransferState
from tests.agent.conftest import Vendor, state_of, state_path
from tests.crash import vendor as stub


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_text("x")
    return path


def handed_over(agent: Agent, source: Path, dataset: str, part: int = 0) -> Transfer:
    with agent.transfer(dataset, part, part + 1) as transfer:
        transfer.add(source, source.with_name(f"to.{part}"))
    return transfer


def found(state_dir: Path, dataset: str | None = None) -> list[Known]:
    return [one for one in known.transfers(state_dir, dataset) if isinstance(one, Known)]


def test_open_transfers_are_found_in_order(agent: Agent, source: Path, state_dir: Path) -> None:
    for dataset, part in [("b", 10), ("b", 2), ("a/x", 0)]:
        handed_over(agent, source, dataset, part)
    assert [(one.dataset, one.part, one.files) for one in found(state_dir)] == [
        ("a/x", 0, 1),
        ("b", 2, 1),
        ("b", 10, 1),
    ]
    assert [one.dataset for one in found(state_dir, "a/x")] == ["a/x"]


def test_what_is_set_aside_is_not_open(agent: Agent, source: Path, state_dir: Path) -> None:
    handed_over(agent, source, "a")
    path = state_path(state_dir, "a")
    path.rename(path.with_suffix(".done"))
    assert found(state_dir) == []


def test_symlinks_and_dot_directories_are_not_entered(
    agent: Agent, source: Path, state_dir: Path, tmp_path: Path
) -> None:
    handed_over(agent, source, "a")
    (state_dir / "a").rename(tmp_path / "elsewhere")
    (state_dir / "link").symlink_to(tmp_path / "elsewhere")
    (state_dir / ".hidden").mkdir()
    (tmp_path / "elsewhere/0.state").rename(state_dir / ".hidden/0.state")
    assert list(known.transfers(state_dir)) == []


def test_a_damaged_file_is_reported_and_does_not_hide_the_others(
    agent: Agent, source: Path, state_dir: Path
) -> None:
    handed_over(agent, source, "a")
    handed_over(agent, source, "b")
    path = state_path(state_dir, "a")
    path.write_bytes(b"garbage\n" + path.read_bytes())
    first, second = known.transfers(state_dir)
    assert isinstance(first, StateFileError)
    assert isinstance(second, Known)


def test_a_planted_symlink_is_reported(state_dir: Path, tmp_path: Path) -> None:
    (state_dir / "a").mkdir(parents=True)
    (state_dir / "a/0.state").symlink_to(tmp_path / "secret")
    (one,) = known.transfers(state_dir)
    assert isinstance(one, PoststageError)
    assert "0.state" in one.message


def test_a_state_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"state directory: .*nowhere: No such file"):
        list(known.transfers(tmp_path / "nowhere"))


def test_an_agent_that_is_at_it_shows(agent: Agent, state_dir: Path) -> None:
    transfer = agent.transfer("a")
    (one,) = found(state_dir)
    assert one.busy
    transfer.dispatch()
    (one,) = found(state_dir)
    assert not one.busy


def test_a_cancel_is_appended_behind_a_torn_tail(
    agent: Agent, source: Path, state_dir: Path
) -> None:
    handed_over(agent, source, "a")
    path = state_path(state_dir, "a")
    with open(path, "ab") as file:
        file.write(b'01234567 {"record":"ev')
    known.record_cancelled(os.fsencode(path))
    state = state_of(path)
    assert (state.cancelled, state.torn, len(state.entries)) == (True, False, 1)


def test_a_transfer_that_is_over_cannot_be_cancelled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is set aside"):
        known.record_cancelled(os.fsencode(tmp_path / "0.state"))


def test_a_file_in_another_hand_is_not_cancelled(agent: Agent, state_dir: Path) -> None:
    agent.transfer("a")
    with pytest.raises(RunAgainError, match="another process holds it"):
        known.record_cancelled(os.fsencode(state_path(state_dir, "a")), patience_s=0)


@pytest.fixture
def probes(vendor: Vendor, state_dir: Path) -> Probes:
    return Probes(config.load(), state_dir)


def answered(probes: Probes, state_dir: Path) -> list[TransferState]:
    group = found(state_dir)
    answers = probes.answers(group)
    return [answers[one.path].state for one in group]


def test_backends_are_asked_for_what_they_can_know(
    agent: Agent, vendor: Vendor, source: Path, state_dir: Path, probes: Probes
) -> None:
    transfer = handed_over(agent, source, "a")
    agent.transfer("b").dispatch()  # without files
    agent.transfer("c")  # still being recorded
    assert answered(probes, state_dir) == [
        TransferState.INPROGRESS,
        TransferState.FULLSUCCESS,
        TransferState.NOTSTARTED,
    ]
    stub.answer(vendor.ledger, transfer.head.id, "FAILED", {})
    assert answered(probes, state_dir)[0] is TransferState.FAILED


def test_a_lost_handle_is_found_by_its_tag(
    agent: Agent, source: Path, state_dir: Path, probes: Probes
) -> None:
    transfer = handed_over(agent, source, "a")
    path = state_path(state_dir, "a")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"event":"handle"' not in line))
    (one,) = found(state_dir)
    assert one.handle is None
    assert probes.handle(one) == f"stub-{transfer.head.id}"
    assert answered(probes, state_dir) == [TransferState.INPROGRESS]


def test_a_backend_that_is_not_allowed_is_an_unknown_answer(
    agent: Agent, source: Path, state_dir: Path, vendor: Vendor
) -> None:
    handed_over(agent, source, "a")
    vendor.site.write_text('[site]\nbackend = "local"\nallowed_backends = ["local"]\n')
    (one,) = found(state_dir)
    answer = Probes(config.load(), state_dir).answers([one])[one.path]
    assert answer.state is TransferState.UNKNOWN
    assert "is not allowed" in answer.reason


def test_an_agent_that_died_while_recording_started_nothing(
    agent: Agent, state_dir: Path, probes: Probes
) -> None:
    agent.transfer("a")
    path = state_path(state_dir, "a")
    copy = path.read_bytes()
    agent.close()
    path.write_bytes(copy)
    assert answered(probes, state_dir) == [TransferState.CANCELED]
    path.write_bytes(b"")
    assert answered(probes, state_dir) == [TransferState.CANCELED]
