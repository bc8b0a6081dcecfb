"""The bench's own arithmetic, and that the page tells what was kept."""

import pytest

from bench import kept, table
from bench.measure import Row, paired


def test_a_ratio_is_the_median_over_the_pairs() -> None:
    row = Row("f", "w", ours=(2.0, 9.0, 4.0), floor=(1.0, 3.0, 1.0))
    assert row.ratio(row.floor) == pytest.approx(3.0)
    assert row.ratio(row.peer) is None


def test_each_round_begins_with_another_side() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = paired(2, lambda: side("a"), lambda: side("b"), None)
    assert order == ["a", "b", "b", "a"]
    assert found == [(1.0, 4.0), (2.0, 3.0), ()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ((), "-"),
        ((1.5,), "1.5 s"),
        ((0.002, 0.004, 0.003), "3 (2-4) ms"),
        ((4e-6,), "4 µs"),
    ],
)
def test_times_are_told_in_a_unit_that_fits(seconds: tuple[float, ...], text: str) -> None:
    assert table.told(seconds) == text


def test_a_row_without_a_side_says_so() -> None:
    row = Row("f", "w", note="no rsync")
    assert table.markdown([row]).endswith("| w | - | - | - | - | - | - | no rsync |\n")


@pytest.mark.parametrize(("goal", "text"), [(1.9, "≤ 1.90: missed"), (2.0, "≤ 2.00: met")])
def test_a_goal_is_told_with_what_became_of_it(goal: float, text: str) -> None:
    assert table.cells(Row("f", "w", ours=(2.0,), floor=(1.0,), goal=goal))[-2] == text


@pytest.mark.skipif(not kept.PATH.exists(), reason="nothing was kept yet")
def test_the_page_has_the_table_of_the_run_that_was_kept() -> None:
    assert kept.page_is_of(kept.read())
