"""IBM's bbAPI through the stub library: the contract, and its own manners."""

import os
from pathlib import Path

import pytest

from poststage.backends import bbapi
from poststage.backends.bbcmd import CommandProbe
from poststage.backends.contract import BackendContract, moved, write
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.vendors.run import library
from tests.backends.vendors.sites import BbapiSite


class TestBbapi(BackendContract):
    """Mover and probe of a compute node keep the contract."""

    @pytest.fixture
    def site(self, bbapi_site: BbapiSite) -> BbapiSite:
        """A job step of its own for each law."""
        return bbapi_site


def test_a_job_s_handle_names_its_job_and_step(bbapi_site: BbapiSite) -> None:
    handle = bbapi_site.mover.handle(bbapi_site.tag)
    assert handle.startswith("4711.3:")


def test_a_number_in_another_job_step_is_another_transfer(
    bbapi_site: BbapiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bbapi_site.mover.handle(bbapi_site.tag)
    other = handle.replace("4711.3:", "4711.4:")
    answer = bbapi_site.probe.answers([other])[other]
    assert answer.state is TransferState.UNKNOWN
    assert "another job step" in answer.reason
    monkeypatch.setenv("PMIX_NAMESPACE", "4")
    assert bbapi_site.mover.handle(bbapi_site.tag) != handle


def test_a_tag_that_is_no_transfer_s_id_is_refused(bbapi_site: BbapiSite) -> None:
    with pytest.raises(BackendError, match="is no tag of 64 bits"):
        bbapi_site.mover.handle("0123")


def test_what_the_library_says_is_in_the_error(bbapi_site: BbapiSite) -> None:
    bbapi_site.kill()
    with pytest.raises(BackendError, match=r"BB_GetTransferHandle: .*bbServer does not answer"):
        bbapi_site.mover.handle(bbapi_site.tag)


def test_a_library_that_is_not_there_is_said_with_where_to_set_it(bbapi_site: BbapiSite) -> None:
    with pytest.raises(BackendError) as caught:
        bbapi.BACKEND.open_mover(bbapi_site.context(library="/no/libbbAPI.so"))
    assert "/no/libbbAPI.so: cannot be loaded" in caught.value.message
    assert "[backend.bbapi] library" in caught.value.hint


@pytest.mark.parametrize("path", ["/no/libbbAPI.so", "libc.so.6"])
def test_where_the_library_does_not_work_bbcmd_is_asked(bbapi_site: BbapiSite, path: str) -> None:
    handle = bbapi_site.mover.handle(bbapi_site.tag)
    probe = bbapi.BACKEND.open_probe(bbapi_site.context(library=path))
    assert isinstance(probe, CommandProbe)
    assert probe.answers([handle])[handle].state is TransferState.NOTSTARTED


def test_a_library_without_a_job_s_bbproxy_is_no_probe(
    bbapi_site: BbapiSite, libraries: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh.so"  # another file, so it is not initialised in this process
    fresh.write_bytes(library(libraries).read_bytes())
    bbapi_site.kill()
    with pytest.raises(BackendError, match="BB_InitLibrary"):
        bbapi.BACKEND.open_mover(bbapi_site.context(library=str(fresh)))
    assert isinstance(
        bbapi.BACKEND.open_probe(bbapi_site.context(library=str(fresh))), CommandProbe
    )


def test_targets_come_without_owner_and_times_as_the_vendor_leaves_them(
    bbapi_site: BbapiSite,
) -> None:
    item = write(bbapi_site, b"file", b"x")
    os.chmod(item.source, 0o4755)
    assert moved(bbapi_site, [item]).state is TransferState.FULLSUCCESS
    assert os.stat(item.target).st_mtime_ns != item.mtime_ns
