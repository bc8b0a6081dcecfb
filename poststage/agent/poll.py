"""Asking again until something has happened or a deadline is over."""

import time
from collections.abc import Callable
from typing import TypeVar

from poststage.model import TransferState

Value = TypeVar("Value")

_FIRST_S = 0.005
_LONGEST_S = 1.0


def until(
    ask: Callable[[], Value], enough: Callable[[Value], bool], timeout_s: float | None
) -> Value:
    """`ask()` as soon as it is `enough`, or as it is after `timeout_s` seconds (None: for ever).

    Asks at once, then ever less often, at least once a second.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    pause = _FIRST_S
    while True:
        value = ask()
        left = _LONGEST_S if end is None else end - time.monotonic()
        if enough(value) or left <= 0:
            return value
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_S)


def is_settled(state: TransferState) -> bool:
    """Whether waiting longer changes nothing: it has ended, or was stopped."""
    return state.ended or state is TransferState.STOPPED
