"""Handing over as one process; what needs several is in tests/mpi."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from poststage.agent import Agent, handover, sources
from poststage.agent.handover import Request, Scope
from poststage.agent.items import Item
from poststage.agent.ranks import Ranks
from poststage.errors import SourceError
from poststage.model import TransferState
from tests.agent.conftest import Vendor, state_of, state_path
from tests.crash import vendor as stub


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "bb/sub").mkdir(parents=True)
    (tmp_path / "bb/a").write_text("12345")
    (tmp_path / "bb/sub/b").write_text("1")
    (tmp_path / "bb/link").symlink_to("a")
    return tmp_path / "bb"


def listing_of(tree: Path) -> Callable[[], Sequence[Item]]:
    return lambda: sources.of_paths(bytes(tree), bytes(tree.with_name("to")))


@pytest.mark.parametrize("scope", Scope)
def test_everything_is_recorded_and_counted(agent: Agent, tree: Path, scope: Scope) -> None:
    request = Request("set", scope, checksum=True)
    summary, transfer = handover.hand_over(Ranks(), agent, request, listing_of(tree))
    assert (summary.files, summary.size_bytes, summary.links, summary.parts) == (2, 6, 1, 1)
    assert transfer is not None
    state = state_of(transfer.state_file)
    assert (state.started, len(state.entries)) == (True, 5)
    assert sum(entry.checksum is not None for entry in state.entries) == 2


def test_a_listing_that_fails_leaves_nothing(agent: Agent, state_dir: Path, tree: Path) -> None:
    def listing() -> list[Item]:
        raise SourceError("it is gone")

    with pytest.raises(SourceError, match="it is gone"):
        handover.hand_over(Ranks(), agent, Request("set"), listing)
    assert not state_dir.exists()


def test_waiting_tells_how_the_transfers_ended(agent: Agent, vendor: Vendor, tree: Path) -> None:
    here = Ranks()
    summary, transfer = handover.hand_over(here, agent, Request("set"), listing_of(tree))
    assert transfer is not None
    assert handover.waited(here, summary, transfer, 0).states == (TransferState.INPROGRESS,)
    stub.answer(vendor.ledger, transfer.head.id, "FULLSUCCESS", {})
    assert handover.waited(here, summary, transfer, None).states == (TransferState.FULLSUCCESS,)


def test_a_part_without_files_is_not_waited_for(agent: Agent, state_dir: Path) -> None:
    here = Ranks()
    summary, transfer = handover.hand_over(here, agent, Request("set"), list)
    assert handover.waited(here, summary, transfer, None).states == ()
    assert state_of(state_path(state_dir, "set")).recorded
