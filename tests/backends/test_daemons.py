"""Replies of a daemon → answers: what is pieced together from many lines."""

from poststage.backends.daemons import _answer, unknown
from poststage.copier.protocol import StatusReply
from poststage.copier.records import OutcomeRecord
from poststage.model import TransferState


def test_an_answer_is_pieced_together_from_its_replies() -> None:
    head = StatusReply("h", "INPROGRESS", "", 10, 4, 40)
    more = StatusReply("h", "INPROGRESS", files=[OutcomeRecord(1, "FULLSUCCESS", "", 5)])
    last = StatusReply("h", "INPROGRESS", open=[2, 3])
    answer = _answer([head, more, last])
    states = {index: file.state.value for index, file in answer.files.items()}
    assert states == {1: "FULLSUCCESS", 2: "INPROGRESS", 3: "INPROGRESS"}
    assert (answer.bytes_done, answer.files[1].mtime_ns) == (10, 5)


def test_what_never_began_in_an_ended_transfer_is_cancelled() -> None:
    answer = _answer([StatusReply("h", "CANCELED", open=[0])])
    assert answer.files[0].state is TransferState.CANCELED


def test_a_reason_is_given_in_plain_text() -> None:
    answer = _answer([StatusReply("h", "FAILED", files=[OutcomeRecord(0, "FAILED", "%C3%A9%25")])])
    assert answer.files[0].reason == "é%"


def test_unknown_is_said_of_each() -> None:
    assert {answer.state for answer in unknown(["a", "b"], "why").values()} == {
        TransferState.UNKNOWN
    }
