"""How values look: to people on a terminal, and plain everywhere else."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.cli import render
from tests.cli.run import on_terminal, run


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2**63 - 1, "9.2 EB"),
        (10**21, "1000 EB"),
    ],
)
def test_sizes_have_about_three_digits(size_bytes: int, text: str) -> None:
    assert render.size(size_bytes) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (-(2**63), "1677-09-21T00:12:43.145224192Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (10**30, "@1000000000000000000000"),
    ],
)
def test_times_are_exact_and_in_utc(time_ns: int, text: str) -> None:
    assert render.time(time_ns) == text


def test_one_is_one_and_more_are_many() -> None:
    assert render.count(1, "file") == "1 file"
    assert render.count(0, "file") == "0 files"
    assert render.count(2, "entr/y/ies") == "2 entries"


CELLS = st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=2), max_size=5)


@given(CELLS)
def test_a_table_off_a_terminal_is_one_plain_line_a_row(rows: list[list[str]]) -> None:
    stream = io.StringIO()
    render.table(("name", ">size"), rows, to=stream)
    lines = stream.getvalue().split("\n")
    assert len(lines) == len(rows) + 2
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_names_are_never_markup() -> None:
    stream = io.StringIO()
    render.table(("name",), [["[bold red]x[/] :smile:"]], to=stream)
    assert stream.getvalue() == "name\n[bold red]x[/] :smile:\n"


def test_off_a_terminal_there_is_no_colour_and_on_one_the_head_is_bold() -> None:
    assert "\x1b" not in run("site", "show").out
    assert "\x1b" not in run("site", "show", FORCE_COLOR="1").out
    code, text = on_terminal("site", "show")
    assert code == 0
    assert "\x1b[1m" in text


def test_no_color_and_a_dumb_terminal_are_respected() -> None:
    _, text = on_terminal("site", "show", NO_COLOR="1")
    assert "\x1b[3" not in text.replace("\x1b[39m", "")
    _, text = on_terminal("site", "show", TERM="dumb")
    assert "\x1b" not in text
