"""Asking again: at once, until it is enough, never beyond the time."""

import time

from poststage.agent import poll
from poststage.model import TransferState


def test_enough_at_once_is_asked_once() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert poll.until(ask, lambda count: count >= 1, None) == 1


def test_it_asks_until_it_is_enough() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert poll.until(ask, lambda count: count >= 4, None) == 4


def test_the_last_answer_comes_when_the_time_is_over() -> None:
    begin = time.monotonic()
    assert poll.until(lambda: "no", lambda _: False, 0.05) == "no"
    assert time.monotonic() - begin >= 0.05


def test_no_time_at_all_is_one_question() -> None:
    asked: list[int] = []
    poll.until(lambda: asked.append(1), lambda _: False, 0)
    assert len(asked) == 1


def test_waiting_ends_where_nobody_copies_any_more() -> None:
    settled = {state for state in TransferState if poll.is_settled(state)}
    assert settled == {
        TransferState.STOPPED,
        TransferState.FULLSUCCESS,
        TransferState.PARTIALSUCCESS,
        TransferState.FAILED,
        TransferState.CANCELED,
    }
