"""What several movements come to: any that goes on counts before all that have ended."""

from itertools import product

import pytest

from poststage.backends.nnf_answers import answer
from poststage.backends.nnf_daemon import Movement
from poststage.model import TransferState

TAG = "0123456789abcdef"
S = TransferState
STATES = (S.UNKNOWN, S.INPROGRESS, S.FULLSUCCESS, S.FAILED, S.CANCELED)


def moved(state: TransferState, index: int = 0, tag: str = TAG) -> Movement:
    return Movement(f"uid-{index}", state, "", tag, index)


@pytest.mark.parametrize("states", list(product(STATES, STATES)))
def test_two_files_end_together_or_in_part(states: tuple[TransferState, TransferState]) -> None:
    told = answer([moved(state, index) for index, state in enumerate(states)], TAG)
    if S.UNKNOWN in states:
        assert told.state is S.UNKNOWN
    elif S.INPROGRESS in states:
        assert told.state is S.INPROGRESS
    elif len(set(states)) == 1:
        assert told.state is states[0]
    else:
        assert told.state is (S.CANCELED if S.CANCELED in states else S.PARTIALSUCCESS)
    assert [told.files[index].state for index in (0, 1)] == list(states)


@pytest.mark.parametrize("states", list(product(STATES, STATES)))
def test_of_two_movements_of_one_file_the_open_one_counts_and_then_the_whole_one(
    states: tuple[TransferState, TransferState],
) -> None:
    told = answer([moved(state) for state in states], TAG)
    assert told.state is min(states, key=STATES.index)


def test_another_transfer_s_movements_say_nothing() -> None:
    assert answer([moved(S.FULLSUCCESS, tag=TAG[::-1])], TAG).state is S.UNKNOWN


@pytest.mark.parametrize("state", [S.FULLSUCCESS, S.FAILED, S.CANCELED])
def test_what_has_not_told_its_command_may_be_a_further_file(state: TransferState) -> None:
    assert answer([moved(state), Movement("new", S.INPROGRESS)], TAG).state is S.INPROGRESS
    assert answer([moved(state), Movement("old", S.FAILED)], TAG).state is state
