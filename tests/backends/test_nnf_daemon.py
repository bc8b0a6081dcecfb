"""What nnf-dm's states and statuses mean: state says where a movement is, status how it ended."""

import pytest

from poststage.backends.nnf_daemon import state_of
from poststage.model import TransferState

PENDING, STARTING, RUNNING, COMPLETED, CANCELLING, UNKNOWN_STATE = range(6)
INVALID, NOT_FOUND, SUCCESS, FAILED, CANCELLED, UNKNOWN_STATUS = range(6)


@pytest.mark.parametrize("state", [PENDING, STARTING, RUNNING, CANCELLING])
@pytest.mark.parametrize("status", [INVALID, SUCCESS, FAILED, CANCELLED, UNKNOWN_STATUS])
def test_what_is_on_its_way_has_not_ended_whatever_its_status(state: int, status: int) -> None:
    assert state_of(state, status) is TransferState.INPROGRESS


def test_only_what_is_completed_has_an_end() -> None:
    assert state_of(COMPLETED, SUCCESS) is TransferState.FULLSUCCESS
    assert state_of(COMPLETED, FAILED) is TransferState.FAILED
    assert state_of(COMPLETED, CANCELLED) is TransferState.CANCELED


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (COMPLETED, INVALID),
        (COMPLETED, UNKNOWN_STATUS),
        (COMPLETED, 6),
        (UNKNOWN_STATE, SUCCESS),
        (UNKNOWN_STATE, NOT_FOUND),
        (PENDING, NOT_FOUND),
        (6, SUCCESS),
        (-1, -1),
    ],
)
def test_everything_else_is_unknown(state: int, status: int) -> None:
    assert state_of(state, status) is TransferState.UNKNOWN
