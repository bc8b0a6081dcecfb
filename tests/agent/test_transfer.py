"""A transfer hands over what was added, once, and leaves nothing behind if it does not."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poststage.agent import Agent, Transfer
from poststage.errors import BackendError, PoststageError, SourceError, UsageError
from poststage.model import Kind, TransferState
from tests.agent.conftest import Vendor, state_of
from tests.agent.trees import ODD_NAMES
from tests.crash import vendor as stub


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three small files in one directory."""
    directory = tmp_path / "bb" / "step.0"
    directory.mkdir(parents=True)
    directory.chmod(0o750)
    made = [directory / f"data.{i}" for i in range(3)]
    for path in made:
        path.write_text(path.name)
    return made


@pytest.fixture
def pfs(tmp_path: Path) -> Path:
    """The destination file system."""
    path = tmp_path / "pfs"
    path.mkdir()
    return path


def destinations(path: bytes) -> dict[bytes, Kind]:
    return {entry.destination: entry.kind for entry in state_of(path).entries}


def test_leaving_the_block_hands_over(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        for path in files:
            transfer.add(path, pfs / path.name, checksum=True)
        assert vendor.starts() == []
    state = state_of(transfer.state_file)
    assert (state.recorded, state.started) == (True, True)
    assert state.handle == f"stub-{state.head.id}"
    temps = [f"{pfs}/{os.fsdecode(entry.temp)}" for entry in state.entries]
    assert vendor.starts() == [temps]
    assert transfer.test() is TransferState.INPROGRESS


def test_an_error_in_the_block_discards(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = agent.transfer("step.0")

    def block() -> None:
        with transfer:
            transfer.add(files[0], pfs / "new/deep")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert not os.path.lexists(transfer.state_file)
    assert vendor.starts() == []
    assert list(pfs.iterdir()) == []


def test_a_second_dispatch_starts_nothing(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.add(files[0], pfs / "a")
        transfer.dispatch()
        transfer.dispatch()
    assert len(vendor.starts()) == 1


def test_nothing_can_be_added_after_dispatch(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.dispatch()
        with pytest.raises(UsageError, match="is dispatched already"):
            transfer.add(files[0], pfs / "a")


def test_a_source_that_is_refused_leaves_the_transfer_usable(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        with pytest.raises(SourceError, match="missing: cannot be read"):
            transfer.add(files[0].with_name("missing"), pfs / "a")
        transfer.add(files[1], pfs / "b")
    assert destinations(transfer.state_file) == {os.fsencode(pfs / "b"): Kind.FILE}


def test_a_tree_is_added_whole_or_not_at_all(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    os.mkfifo(files[0].with_name("pipe"))
    with agent.transfer("step.0") as transfer:
        with pytest.raises(SourceError, match="pipe: is a FIFO"):
            transfer.add_tree(files[0].parent, pfs / "step.0")
        assert sum(transfer.counts.values()) == 0


def test_two_files_cannot_have_one_destination(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.add(files[0], pfs / "same")
        with pytest.raises(UsageError, match=r"same: is the destination .*data.1 was not added"):
            transfer.add(files[1], pfs / "x/../same")


def test_one_source_can_have_two_destinations(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.add(files[0], pfs / "one")
        transfer.add(files[0], pfs / "two")
    assert set(destinations(transfer.state_file).values()) == {Kind.FILE}


def test_missing_directories_get_the_modes_of_the_sources(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        for path in files:
            transfer.add(path, pfs / "step.0" / path.name)
    first = state_of(transfer.state_file).entries[0]
    assert (first.kind, first.destination) == (Kind.DIRECTORY, os.fsencode(pfs / "step.0"))
    assert first.meta.mode == 0o750
    assert (pfs / "step.0").stat().st_mode & 0o7777 == 0o700
    assert transfer.counts[Kind.DIRECTORY] == 1


def test_links_in_a_tree_refer_to_their_file(
    agent: Agent, files: Sequence[Path], pfs: Path
) -> None:
    os.link(files[0], files[0].with_name("also"))
    files[0].with_name("soft").symlink_to("data.0")
    with agent.transfer("step.0") as transfer:
        transfer.add_tree(files[0].parent, pfs / "step.0")
    entries = state_of(transfer.state_file).entries
    (link,) = [entry for entry in entries if entry.kind is Kind.LINK]
    assert link.link_to is not None
    assert entries[link.link_to].kind is Kind.FILE
    assert link.temp != entries[link.link_to].temp
    assert transfer.counts[Kind.SYMLINK] == 1


def test_a_part_without_files_is_recorded_and_over(agent: Agent, vendor: Vendor) -> None:
    with agent.transfer("step.0", part=1, parts=2) as transfer:
        pass
    state = state_of(transfer.state_file)
    assert (state.recorded, state.entries, state.handle) == (True, (), None)
    assert transfer.wait(0) is TransferState.FULLSUCCESS
    assert vendor.starts() == []
    assert list(vendor.ledger.iterdir()) == []


def test_an_empty_directory_needs_no_backend(agent: Agent, vendor: Vendor, pfs: Path) -> None:
    (pfs.parent / "bb/only/empty").mkdir(parents=True)
    with agent.transfer("step.0") as transfer:
        transfer.add_tree(pfs.parent / "bb/only", pfs / "only")
    assert (pfs / "only/empty").is_dir()
    assert vendor.starts() == []


def test_waiting_needs_a_dispatch(agent: Agent) -> None:
    with agent.transfer("step.0") as transfer:
        with pytest.raises(UsageError, match="is not dispatched"):
            transfer.wait()
        assert transfer.test() is TransferState.NOTSTARTED


def test_waiting_ends_with_the_transfer_or_the_time(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.add(files[0], pfs / "a")
        transfer.dispatch()
        assert transfer.wait(timeout_s=0) is TransferState.INPROGRESS
        stub.answer(vendor.ledger, transfer.head.id, "FULLSUCCESS", {0: "FULLSUCCESS"})
        assert transfer.wait() is TransferState.FULLSUCCESS
        assert transfer.answer().files[0].state is TransferState.FULLSUCCESS


def test_cancelling_before_the_dispatch_discards(agent: Agent, vendor: Vendor) -> None:
    with agent.transfer("step.0") as transfer:
        assert transfer.cancel() is TransferState.CANCELED
    assert not os.path.lexists(transfer.state_file)
    assert vendor.starts() == []


def test_cancelling_after_the_dispatch_is_recorded_and_told(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    with agent.transfer("step.0") as transfer:
        transfer.add(files[0], pfs / "a")
    assert transfer.cancel() is TransferState.CANCELED
    assert state_of(transfer.state_file).cancelled
    assert (vendor.ledger / f"{transfer.head.id}.cancelled").exists()


def test_what_was_recorded_and_then_discarded_never_starts(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = agent.transfer("step.0")
    transfer.add(files[0], pfs / "a")
    transfer.record()
    transfer.discard()
    with pytest.raises(UsageError, match="is discarded already"):
        transfer.dispatch()
    assert (vendor.ledger / f"{transfer.head.id}.cancelled").exists()
    assert not os.path.lexists(transfer.state_file)


def refused_start(agent: Agent, vendor: Vendor, path: Path, pfs: Path) -> Transfer:
    """A transfer whose start the vendor has refused."""
    transfer = agent.transfer("step.0")
    transfer.add(path, pfs / "a")
    transfer.record()
    (vendor.ledger / f"{transfer.head.id}.cancelled").touch()
    with pytest.raises(BackendError, match="was cancelled"):
        transfer.dispatch()
    return transfer


def test_after_a_start_that_failed_the_record_stays(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = refused_start(agent, vendor, files[0], pfs)
    transfer.close()
    state = state_of(transfer.state_file)
    assert (state.recorded, state.started) == (True, False)


def test_a_dispatch_that_failed_can_be_tried_again(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = refused_start(agent, vendor, files[0], pfs)
    (vendor.ledger / f"{transfer.head.id}.cancelled").unlink()
    transfer.dispatch()
    assert len(vendor.starts()) == 1
    state = state_of(transfer.state_file)
    assert (state.started, len(state.entries)) == (True, 1)


def test_a_destination_that_cannot_be_made_starts_nothing(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = agent.transfer("step.0")
    transfer.add(files[0], pfs / "later/a")
    (pfs / "later").write_text("in the way now")
    with pytest.raises(PoststageError, match="nothing was started"), transfer:
        pass
    assert vendor.starts() == []
    assert not os.path.lexists(transfer.state_file)


def test_a_state_file_that_was_taken_away_starts_nothing(
    agent: Agent, vendor: Vendor, files: Sequence[Path], pfs: Path
) -> None:
    transfer = agent.transfer("step.0")
    transfer.add(files[0], pfs / "a")
    os.unlink(transfer.state_file)
    with pytest.raises(PoststageError, match="was taken away"), transfer:
        pass
    assert vendor.starts() == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.binary(min_size=1, max_size=255).filter(
            lambda name: name not in {b".", b".."} and not set(name) & {0, 0x2F}
        )
        | st.sampled_from(ODD_NAMES),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    dataset=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
)
def test_names_of_any_bytes_come_back_from_the_state_file(
    tmp_path: Path, vendor: Vendor, agent: Agent, names: list[bytes], dataset: str
) -> None:
    source = os.path.join(os.fsencode(tmp_path), b"any")
    os.makedirs(source, exist_ok=True)
    for old in os.listdir(source):
        os.unlink(os.path.join(source, old))
    for name in names:
        os.close(os.open(os.path.join(source, name), os.O_CREAT | os.O_WRONLY, 0o600))
    with agent.transfer(dataset) as transfer:
        transfer.add_tree(source, os.fsencode(tmp_path) + b"/to")
        transfer.dispatch()
    state = state_of(transfer.state_file)
    os.unlink(transfer.state_file)
    assert {os.path.basename(e.source) for e in state.entries if e.kind is Kind.FILE} == set(names)
    assert state.head.dataset == dataset


def test_ten_thousand_files_cost_ten_times_a_thousand(
    agent: Agent, tmp_path: Path, pfs: Path
) -> None:
    source = tmp_path / "one"
    source.write_text("")

    def cost(count: int) -> tuple[int, int, int]:
        """(calls of any function, write calls, bytes in the state file) of `count` files."""
        with agent.transfer(f"of {count}") as transfer:
            before, writes = calls_made(), write_calls()
            with counted():
                for number in range(count):
                    transfer.add(source, pfs / f"{number:05d}")
                transfer.record()
            calls, writes = calls_made() - before, write_calls() - writes
            size = os.stat(transfer.state_file).st_size
            transfer.discard()
        return calls, writes, size

    few, many = cost(1000), cost(10_000)
    assert many[0] < 10.1 * few[0]
    assert many[1] <= 10 * few[1] + 5
    assert many[2] < 10.2 * few[2]


_CALLS = [0]


def calls_made() -> int:
    """How many functions, C's included, were called while `counted`."""
    return _CALLS[0]


@contextmanager
def counted() -> Iterator[None]:
    """Count calls in the block."""

    def count(frame: object, event: str, argument: object) -> None:
        del frame, argument
        _CALLS[0] += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)


def write_calls() -> int:
    """How many write calls this process has made."""
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("syscw"))
