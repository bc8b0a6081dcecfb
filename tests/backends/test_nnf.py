"""Rabbit's nnf-dm through a stub of it, over real gRPC: the contract, and its own manners."""

import os

import pytest

from poststage.backends.contract import BackendContract, copied, ended, original, write
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.vendors.sites import NnfSite


class TestNnf(BackendContract):
    """Mover and probe keep the contract."""

    @pytest.fixture
    def site(self, nnf_site: NnfSite) -> NnfSite:
        """A workflow of its own for each law."""
        return nnf_site


def test_a_movement_that_has_not_told_its_command_may_be_anybody_s(nnf_site: NnfSite) -> None:
    hold = nnf_site.server.root / "hold"
    hold.touch()
    item = write(nnf_site, b"file", b"x")
    handle = nnf_site.mover.handle(nnf_site.tag)
    nnf_site.mover.start(handle, [item])
    assert nnf_site.probe.answers([handle])[handle].state is TransferState.INPROGRESS
    hold.unlink()
    assert ended(nnf_site, handle).state is TransferState.FULLSUCCESS


def test_what_nobody_knows_is_unknown_and_never_taken_for_unstarted(nnf_site: NnfSite) -> None:
    handle = nnf_site.mover.handle(nnf_site.tag)
    for answer in (nnf_site.probe.answers([handle])[handle], nnf_site.probe.cancel(handle)):
        assert answer.state is TransferState.UNKNOWN
        assert "records are gone" in answer.reason


def test_a_start_that_is_refused_in_the_middle_cancels_what_had_begun(nnf_site: NnfSite) -> None:
    nnf_site.pace(1)
    refuse = nnf_site.server.root / "refuse"
    refuse.write_text("second")
    items = [write(nnf_site, b"first", os.urandom(2_000_000)), write(nnf_site, b"second", b"x")]
    handle = nnf_site.mover.handle(nnf_site.tag)
    with pytest.raises(BackendError, match="second: refused by nnf-dm: no room"):
        nnf_site.mover.start(handle, items)
    assert ended(nnf_site, handle).state is TransferState.CANCELED
    nnf_site.pace(0)
    refuse.unlink()
    nnf_site.mover.start(handle, items)
    assert ended(nnf_site, handle).state is TransferState.FULLSUCCESS
    assert [copied(item) for item in items] == [original(item) for item in items]


def test_a_name_that_is_no_text_is_refused_before_anything_begins(nnf_site: NnfSite) -> None:
    items = [write(nnf_site, b"good", b"x"), write(nnf_site, b"bad\xff", b"x")]
    handle = nnf_site.mover.handle(nnf_site.tag)
    with pytest.raises(BackendError, match="is not UTF-8"):
        nnf_site.mover.start(handle, items)
    assert nnf_site.probe.find([nnf_site.tag]) == {}


def test_outside_of_a_workflow_nothing_is_started(
    nnf_site: NnfSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DW_WORKFLOW_NAME")
    with pytest.raises(BackendError, match="DW_WORKFLOW_NAME is not set"):
        nnf_site.mover.handle(nnf_site.tag)


def test_a_daemon_that_is_away_is_named_with_its_socket(nnf_site: NnfSite) -> None:
    nnf_site.kill()
    with pytest.raises(BackendError) as caught:
        nnf_site.probe.find([nnf_site.tag])
    assert str(nnf_site.server.root / "socket") in caught.value.message
    assert "[backend.nnf] socket" in caught.value.hint
