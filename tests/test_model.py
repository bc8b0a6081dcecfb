"""The shared values: what is final, what has ended, and that `unknown` is never success."""

import pytest

from poststage.model import TransferState, Verdict


def test_only_what_can_never_change_is_final() -> None:
    final = {verdict for verdict in Verdict if verdict.final}
    assert final == {Verdict.PUBLISHED, Verdict.FAILED, Verdict.CONFLICT}


def test_running_again_helps_where_no_person_is_needed() -> None:
    needy = {verdict for verdict in Verdict if verdict.needs_person}
    assert needy == {Verdict.FAILED, Verdict.CONFLICT, Verdict.LOST}


@pytest.mark.parametrize(
    "state", [TransferState.UNKNOWN, TransferState.STOPPED, TransferState.NOTSTARTED]
)
def test_a_transfer_that_may_still_write_has_not_ended(state: TransferState) -> None:
    assert not state.ended
    assert not TransferState.INPROGRESS.ended


def test_every_state_is_called_what_bbapi_calls_it() -> None:
    assert all(state.name == state.value for state in TransferState)
