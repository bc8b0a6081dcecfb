"""Plain manners: a pace that all threads share."""

import os
from pathlib import Path

import pytest

from poststage.copier.manners import Pace, Plain, sources_wrong
from poststage.errors import UsageError
from tests.copier.scene import Place


def test_no_limit_takes_everything_at_once() -> None:
    assert Pace(0).take(1 << 40) == (1 << 40, 0.0)


def test_a_limit_gives_pieces_of_a_tenth_of_a_second_one_after_the_other() -> None:
    pace = Pace(1000)
    waits = []
    for _ in range(10):
        count, wait_s = pace.take(1 << 20)
        assert count == 100
        waits.append(wait_s)
    assert waits == sorted(waits)
    assert 0.9 <= waits[-1] <= 1.0


def test_the_slowest_limit_still_moves() -> None:
    assert Pace(0.5).take(100)[0] == 1


def test_sources_are_compared_with_their_record(place: Place, tmp_path: Path) -> None:
    items = [place.item(n) for n in range(3)]
    assert sources_wrong(Plain(), items, 0) == ""
    os.utime(place.sources / "1", ns=(0, 0))
    assert "its mtime is another" in sources_wrong(Plain(), items, 0)
    (place.sources / "0").unlink()
    assert "No such file" in sources_wrong(Plain(), items, 0)


def test_a_name_in_a_reason_is_fit_for_a_terminal(place: Place) -> None:
    item = place.item(0)
    bad = type(item)(0, "/bb/%1B[31m", item.target, 0, 0)
    assert "\x1b" not in sources_wrong(Plain(), [bad], 0)


def test_requests_of_an_emulator_are_refused() -> None:
    with pytest.raises(UsageError, match="does not know detach"):
        Plain().control("detach", None)
