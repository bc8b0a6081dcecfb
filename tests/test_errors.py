"""Exit codes: each error has one, and of several the most urgent stands for all."""

import itertools

import pytest

from poststage import errors
from poststage.errors import EXIT_MEANING, ExitCode, PoststageError, worst

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PoststageError)
]


@pytest.mark.parametrize("kind", ALL)
def test_each_error_carries_its_message_its_hint_and_a_documented_exit_code(
    kind: type[PoststageError],
) -> None:
    error = kind("x: is not there; nothing was touched", hint="make it")
    assert str(error) == error.message == "x: is not there; nothing was touched"
    assert error.hint == "make it"
    assert error.exit_code in EXIT_MEANING


def test_each_exit_code_has_a_meaning_and_its_documented_number() -> None:
    assert set(EXIT_MEANING) == set(ExitCode)
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 65, 75, 77]


@pytest.mark.parametrize("codes", list(itertools.combinations((65, 77, 3, 75, 0), 2)))
def test_of_two_codes_the_more_urgent_stands_for_both(codes: tuple[int, int]) -> None:
    more_urgent = ExitCode(codes[0])  # they come in their order of urgency
    assert worst({ExitCode(code) for code in codes}) is more_urgent


def test_nothing_to_report_is_all_done() -> None:
    assert worst(set()) is ExitCode.OK


def test_a_bug_outranks_everything() -> None:
    assert worst(set(ExitCode)) is ExitCode.BUG
