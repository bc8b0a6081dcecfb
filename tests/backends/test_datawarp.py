"""Cray's DataWarp through a stub of its library: the contract, and its own manners."""

import os

import pytest

from poststage.backends import datawarp
from poststage.backends.contract import BackendContract, begun, ended, moved, write
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.vendors.sites import DatawarpSite


class TestDatawarp(BackendContract):
    """Mover and probe keep the contract."""

    @pytest.fixture
    def site(self, datawarp_site: DatawarpSite) -> DatawarpSite:
        """A job of its own for each law."""
        return datawarp_site


def test_a_path_that_was_staged_before_is_refused(datawarp_site: DatawarpSite) -> None:
    first = write(datawarp_site, b"file", b"one")
    assert moved(datawarp_site, [first]).state is TransferState.FULLSUCCESS
    other = datawarp_site.mover.handle(datawarp_site.tag[::-1])
    with pytest.raises(BackendError, match="was staged before"):
        datawarp_site.mover.start(other, [first])
    assert datawarp_site.probe.answers([other])[other].state is TransferState.NOTSTARTED


def test_a_start_that_was_cut_off_is_ended_by_the_next_one(datawarp_site: DatawarpSite) -> None:
    items = [write(datawarp_site, b"a", b"1"), write(datawarp_site, b"second", b"2")]
    refuse = datawarp_site.server.root / "refuse"
    refuse.write_text("second")
    handle = datawarp_site.mover.handle(datawarp_site.tag)
    with pytest.raises(BackendError, match="second: dw_stage_file_out: No space left on device"):
        datawarp_site.mover.start(handle, items)
    answer = ended(datawarp_site, handle)
    assert answer.state is TransferState.PARTIALSUCCESS
    assert answer.files[1].state is TransferState.NOTSTARTED
    refuse.unlink()
    datawarp_site.mover.start(handle, items)
    assert ended(datawarp_site, handle).state is TransferState.FULLSUCCESS


def test_what_is_terminated_is_cancelled_and_not_failed(datawarp_site: DatawarpSite) -> None:
    datawarp_site.pace(1)
    handle = begun(datawarp_site, [write(datawarp_site, b"large", os.urandom(4_000_000))])
    assert datawarp_site.probe.cancel(handle).state is TransferState.CANCELED


def test_a_library_that_is_not_there_is_said_with_where_to_set_it(
    datawarp_site: DatawarpSite,
) -> None:
    with pytest.raises(BackendError) as caught:
        datawarp.BACKEND.open_probe(datawarp_site.context(library="/no/libdatawarp.so"))
    assert "/no/libdatawarp.so: cannot be loaded" in caught.value.message
    assert "[backend.datawarp] library" in caught.value.hint
