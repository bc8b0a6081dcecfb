"""Names are bytes: one written form, a harmless shown form, derived names that fit."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poststage import names

ANY = st.binary(max_size=300)
STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANY)
@example(bytes(range(256)))
def test_any_bytes_have_a_written_form_and_come_back(name: bytes) -> None:
    text = names.to_text(name)
    assert text.isascii()
    assert not set(text) & {'"', "\\", "\n", "\x7f"}
    assert names.from_text(text) == name


@given(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=12))
@example("%c3")
@example("%41")
@example("%4")
@example("%%")
@example("a\nb")
def test_a_name_has_one_written_form_and_no_other_is_taken(text: str) -> None:
    try:
        name = names.from_text(text)
    except ValueError:
        return
    assert names.to_text(name) == text


@pytest.mark.parametrize("text", ["%c3", "%41", "%4", "%", "a\n", '"', "\\", "ö", "\x7f"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        names.from_text(text)


@given(ANY | st.text(max_size=60))
def test_what_is_shown_cannot_steer_a_terminal(name: bytes | str) -> None:
    text = names.shown(name)
    assert text.isprintable()
    assert not {unicodedata.category(char) for char in text} & STEERING


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain name", "plain name"),
        ("größe".encode(), "größe"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"new\nline", "new\\x0aline"),
        (b"\xff", "\\xff"),
        ("\u202eexe.txt".encode(), "\\u202eexe.txt"),
        ("\U000e0041".encode(), "\\U000e0041"),
        ("\ufeff", "\\ufeff"),
        (b"[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_names_are_shown_as_people_expect(name: bytes | str, text: str) -> None:
    assert names.shown(name) == text
    assert names.shown(text) == text


@given(st.binary(min_size=1, max_size=255), st.integers(0, 10**7))
@example(b"x" * 255, 10**7)
def test_a_temp_name_is_hidden_names_its_transfer_and_fits(name: bytes, index: int) -> None:
    temp = names.temp_name(name, "00c0ffee00c0ffee", index)
    assert len(temp) <= names.NAME_MAX
    assert temp.startswith(b".")
    assert temp.endswith(b".00c0ffee00c0ffee-%d.poststage" % index)
    assert temp != name or name.endswith(b".poststage")


def test_temp_names_of_one_transfer_differ_also_where_the_names_are_cut() -> None:
    long = [b"x" * 254 + bytes([letter]) for letter in b"ab"]
    assert names.temp_name(long[0], "0" * 16, 0) != names.temp_name(long[1], "0" * 16, 1)


@given(st.binary(min_size=1, max_size=255), st.integers(0, 1000))
@example(b"x" * 255, 1000)
def test_a_conflict_name_fits_and_tells_its_time(name: bytes, attempt: int) -> None:
    made = names.conflict_name(name, "20260102-030405", attempt)
    assert len(made) <= names.NAME_MAX
    number = b"-%d" % attempt if attempt else b""
    assert made.endswith(b"~20260102-030405~conflict" + number + b"~")


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0", b"x" * 256])
def test_what_is_no_single_name(name: bytes) -> None:
    assert not names.is_component(name)


@pytest.mark.parametrize("name", [b"a", b"...", b"\n", b"\xff" * 255, b" "])
def test_what_is_a_single_name(name: bytes) -> None:
    assert names.is_component(name)
    assert names.is_absolute(b"/" + name)
    assert names.split(b"/" + name) == (b"/", name)
    assert names.split(b"/dir/" + name) == (b"/dir", name)


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"a", b"//", b"//a", b"/a/", b"/a//b", b"/a/./b", b"/a/../b", b"/" + b"a/" * 2048],
)
def test_what_is_no_plain_absolute_path(path: bytes) -> None:
    assert not names.is_absolute(path)
