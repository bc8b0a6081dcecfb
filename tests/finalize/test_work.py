"""What a backend's answer says of one file: every pair of states."""

from itertools import product

import pytest

from poststage.backends.base import Answer, FileAnswer
from poststage.finalize.seen import Fate
from poststage.finalize.work import deadline, fate_of, why_pending
from poststage.model import TransferState

S = TransferState
PAIRS = list(product(TransferState, TransferState))


def fate(whole: TransferState, one: TransferState | None) -> Fate:
    """The fate of file 0; `one` is what is said of it alone, None for nothing."""
    files = {1: FileAnswer(S.FULLSUCCESS)} if one is None else {0: FileAnswer(one)}
    return fate_of(Answer(whole, files), 0)[0]


@pytest.mark.parametrize(("whole", "one"), PAIRS)
def test_a_file_has_failed_only_if_its_transfer_does_not_contradict_it(
    whole: TransferState, one: TransferState
) -> None:
    failed = fate(whole, one) is Fate.FAILED
    says_so = one in {S.FAILED, S.CANCELED} and whole is not S.UNKNOWN
    left_over = whole in {S.FAILED, S.PARTIALSUCCESS, S.CANCELED} and one in {
        S.NOTSTARTED,
        S.INPROGRESS,
        S.STOPPED,
    }
    assert failed is (says_so or left_over)


@pytest.mark.parametrize(("whole", "one"), PAIRS)
def test_an_unknown_answer_is_never_rounded(whole: TransferState, one: TransferState) -> None:
    if S.UNKNOWN in {whole, one}:
        assert fate(whole, one) is Fate.UNKNOWN


@pytest.mark.parametrize("one", [S.NOTSTARTED, S.INPROGRESS, S.STOPPED])
def test_a_file_in_flight_in_a_transfer_said_to_be_whole_is_no_answer(one: TransferState) -> None:
    assert fate(S.FULLSUCCESS, one) is Fate.UNKNOWN


@pytest.mark.parametrize("whole", [one for one in S if one is not S.UNKNOWN])
def test_a_file_that_is_said_to_be_whole_is_done_whatever_came_of_the_others(
    whole: TransferState,
) -> None:
    assert fate(whole, S.FULLSUCCESS) is Fate.DONE


@pytest.mark.parametrize("whole", [S.FAILED, S.PARTIALSUCCESS])
def test_a_file_that_a_failed_transfer_does_not_mention_is_unproven(whole: TransferState) -> None:
    assert fate(whole, None) is Fate.UNPROVEN
    assert fate_of(Answer(whole), 0)[0] is Fate.UNPROVEN


def test_a_file_that_a_whole_transfer_tells_of_others_without_is_unknown() -> None:
    assert fate(S.FULLSUCCESS, None) is Fate.UNKNOWN
    assert fate_of(Answer(S.FULLSUCCESS), 0)[0] is Fate.DONE


def test_the_most_precise_reason_is_told() -> None:
    answer = Answer(S.FAILED, {0: FileAnswer(S.FAILED, "no space")}, "two files failed")
    assert fate_of(answer, 0)[1] == "no space"
    assert fate_of(answer, 1)[1] == "two files failed"
    assert fate_of(Answer(S.CANCELED), 0)[1] == "its transfer failed"


def test_of_a_stopped_transfer_the_way_out_is_told() -> None:
    stopped = FileAnswer(S.STOPPED)
    assert "`poststage resume`" in fate_of(Answer(S.STOPPED, {0: stopped}), 0)[1]
    assert "`poststage resume`" in fate_of(Answer(S.STOPPED), 0)[1]
    assert "`poststage resume`" in why_pending(Answer(S.STOPPED))
    assert fate_of(Answer(S.STOPPED, reason="on n1"), 0)[1] == "its transfer is stopped: on n1"
    assert why_pending(Answer(S.INPROGRESS)) == "its transfer is still running"


def test_a_deadline_never_has_less_than_nothing_left() -> None:
    assert deadline(-5)() == 0.0
    left = deadline(1000)
    assert 0 < 1000 - left() < 100
