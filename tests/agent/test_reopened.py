"""A recorded transfer, opened without knowing its type: asked, waited for, cancelled, forgotten.

What a resume does at each point of its life is tests/agent/test_points.py's.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.agent.reopened import open_earlier
from poststage.errors import PoststageError, SourceError, UsageError
from poststage.model import TransferState
from tests.agent.lives import SIZE, Axl, Emulator, Ibm, Local, made


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with made(Emulator) as life:
        assert isinstance(life, Emulator)
        yield life


@pytest.fixture
def local() -> Iterator[Local]:
    with made(Local) as life:
        assert isinstance(life, Local)
        yield life


@pytest.fixture
def axl() -> Iterator[Axl]:
    with made(Axl) as life:
        assert isinstance(life, Axl)
        yield life


def test_it_is_waited_for_by_another_process_than_its_agents(emulator: Emulator) -> None:
    emulator.begun()
    with emulator.earlier() as earlier:
        assert earlier.head.backend == "emulator"
        assert not earlier.test().ended
        assert earlier.wait(0.01) is TransferState.INPROGRESS
        assert earlier.wait(60) is TransferState.FULLSUCCESS


def test_a_cancel_is_recorded_and_reaches_the_backend(emulator: Emulator) -> None:
    emulator.begun()
    with emulator.earlier() as earlier:
        assert earlier.cancel() is TransferState.CANCELED
        assert earlier.state().cancelled
        assert earlier.cancel() is TransferState.CANCELED
    assert emulator.finalized() == "failed (3)"


def test_agent_open_is_the_same_by_dataset_and_part(emulator: Emulator) -> None:
    emulator.begun()
    with emulator.agent().open("d") as earlier:
        assert earlier.path == os.fsencode(emulator.state_file)
        assert earlier.wait(60).ended
    with pytest.raises(PoststageError, match="No such file"):
        emulator.agent().open("d", 1)


def test_its_record_is_forgotten_only_when_it_is_over(emulator: Emulator) -> None:
    emulator.begun()
    with emulator.earlier() as earlier, pytest.raises(UsageError, match="still open"):
        earlier.forget()
    assert emulator.finalized() == "published (0)"
    done = emulator.state_file.with_suffix(".done")
    with open_earlier(done, site=emulator.top / "site.toml") as earlier:
        assert earlier.test() is TransferState.FULLSUCCESS
        earlier.forget()
    assert not done.exists()


def test_a_failed_ones_record_is_forgotten_with_its_verdicts(axl: Axl) -> None:
    axl.lay(5)
    assert axl.finalized() == "failed (3)"
    with axl.earlier() as earlier:
        earlier.forget()
    assert os.listdir(axl.state_file.parent) == []


def test_axls_own_copy_can_be_asked_and_no_more(axl: Axl) -> None:
    axl.lay(SIZE)
    with axl.earlier() as earlier:
        assert earlier.head.backend == "axl"
        assert earlier.test() is TransferState.UNKNOWN
        for call in (earlier.cancel, earlier.resume):
            with pytest.raises(UsageError, match="AXL copied it itself"):
                call()


def test_one_that_was_never_dispatched_is_said_to_be_so(axl: Axl) -> None:
    axl.lay(None, meta=False, state=1, status=1)
    with axl.earlier() as earlier:
        assert "never dispatched" in earlier.answer().reason
        with pytest.raises(UsageError, match="never dispatched; nothing was resumed"):
            earlier.resume()


def test_a_vendor_that_the_site_does_not_allow_is_named() -> None:
    with made(Ibm) as life:
        assert isinstance(life, Ibm)
        life.lay(SIZE)
        with life.earlier() as earlier, pytest.raises(UsageError, match="bbapi is not allowed"):
            earlier.cancel()


@pytest.mark.parametrize("change", ["written", "touched", "gone", "a link"])
def test_a_stopped_one_is_not_resumed_from_a_source_that_is_not_the_recorded_one(
    local: Local, change: str
) -> None:
    local.begun()
    local.copied(1)
    local.kill()
    part = local.temp.read_bytes()
    if change == "written":
        local.source.write_bytes(b"another job's")
    elif change == "touched":
        os.utime(local.source)
    else:
        local.source.rename(local.bb / "away")
    if change == "a link":
        local.source.symlink_to("away")
    with local.earlier() as earlier:
        with pytest.raises(SourceError, match="nothing was resumed"):
            earlier.resume()
        with pytest.raises(SourceError, match="nothing was resumed"):
            earlier.require_resumable()
        assert earlier.test() is TransferState.STOPPED
    assert local.temp.read_bytes() == part


@pytest.mark.parametrize("content", [b"", b"nothing of the kind, and long enough to be told so"])
def test_what_is_no_state_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.state"
    path.write_bytes(content)
    with pytest.raises(PoststageError):
        open_earlier(path)
