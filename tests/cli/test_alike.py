"""What is said of many transfers: once for those of which it is the same."""

from poststage.cli.alike import lines


def test_parts_that_stand_alike_share_a_line() -> None:
    said = [("x", 0, "FAILED: no space"), *(("x", part, "UNKNOWN") for part in range(1, 16_384))]
    assert list(lines(said)) == [
        "x part 0: FAILED: no space",
        "x parts 1, 2, 3 and 16380 more: UNKNOWN",
    ]


def test_datasets_have_lines_of_their_own_and_a_few_parts_are_all_named() -> None:
    said = [("x", 0, "FAILED"), ("y", 0, "FAILED"), ("y", 2, "FAILED")]
    assert list(lines(said)) == ["x part 0: FAILED", "y parts 0, 2: FAILED"]


def test_where_each_stands_differently_the_rest_is_counted() -> None:
    *listed, last = lines(("x", part, f"FAILED: {part}") for part in range(60))
    assert len(listed) == 50
    assert last == "… and 10 parts more; --json has all"
