"""bbcmd as a probe, in post-stage: the contract, and answers that make no sense."""

from pathlib import Path

import pytest

from poststage.backends import bbapi, bbcmd
from poststage.backends.bbcmd import CommandProbe
from poststage.backends.contract import BackendContract
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.vendors.sites import BbapiSite


class TestBbcmd(BackendContract):
    """What `bbcmd` answers keeps the contract."""

    @pytest.fixture
    def site(self, bbapi_site: BbapiSite, monkeypatch: pytest.MonkeyPatch) -> BbapiSite:
        """The mover of a compute node, the probe of a stage-out phase."""
        monkeypatch.setenv("LSF_STAGE_USER_STAGE_OUT", "1")
        bbapi_site.probe = bbapi.BACKEND.open_probe(bbapi_site.context())
        assert isinstance(bbapi_site.probe, CommandProbe)
        return bbapi_site


def answering(folder: Path, text: str) -> CommandProbe:
    """A probe whose bbcmd prints `text`, whatever it is asked."""
    program = folder / "bbcmd-says"
    (folder / "said").write_text(text)
    program.write_text(f"#!/bin/sh\ncat {folder}/said\n")
    program.chmod(0o755)
    return CommandProbe(str(program), 10.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"0": 1}',
        '{"0": {"rc": 0}}',
        '{"0": {"rc": "0", "out": {"numavailhandles": "many", "handles": "()"}}}',
        '{"0": {"rc": "0", "out": {"numavailhandles": "1", "handles": "1;2"}}}',
        '{"0": {"rc": "0", "out": {"numavailhandles": 1, "handles": "(1)"}}}',
        '{"0": {"rc": "5", "error": {"text": "\\u001b[31mno"}}}',
        "[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_unknown_and_never_raises(
    tmp_path: Path, text: str
) -> None:
    answer = answering(tmp_path, text).answers(["1.1:7"])["1.1:7"]
    assert answer.state is TransferState.UNKNOWN
    assert answer.reason.isprintable()


def test_a_transfer_that_is_listed_as_ended_in_two_ways_is_unknown(tmp_path: Path) -> None:
    listed = '{"0": {"rc": "0", "out": {"numavailhandles": "1", "handles": "(7)"}}}'
    assert answering(tmp_path, listed).answers(["1.1:7"])["1.1:7"].state is TransferState.UNKNOWN


def test_all_of_many_transfers_are_listed(
    bbapi_site: BbapiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bbcmd, "_ROOM", 1)
    handles = [bbapi_site.mover.handle(f"{number:016x}") for number in range(5)]
    probe = CommandProbe(str(bbapi_site.bbcmd), 30.0)
    answers = probe.answers(handles)
    assert {answers[handle].state for handle in handles} == {TransferState.NOTSTARTED}


def test_a_bbcmd_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    program = tmp_path / "bbcmd"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    answer = CommandProbe(str(program), 0.2).answers(["1.1:7"])["1.1:7"]
    assert answer.state is TransferState.UNKNOWN
    assert "no answer in 0.2 s" in answer.reason


def test_without_a_program_or_a_job_nobody_can_be_found(
    bbapi_site: BbapiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match="is not there or cannot be run"):
        CommandProbe("/no/bbcmd", 1.0).find([bbapi_site.tag])
    monkeypatch.delenv("LSB_JOBID")
    with pytest.raises(BackendError, match="no job to ask for"):
        CommandProbe(str(bbapi_site.bbcmd), 30.0).find([bbapi_site.tag])
