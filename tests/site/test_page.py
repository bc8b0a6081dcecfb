"""docs/settings.md is what the settings are."""

from pathlib import Path

from poststage.site import page
from poststage.site.words import SECTIONS, WORDS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page.page(), (
        "python -m poststage.site.page > docs/settings.md"
    )


def test_every_setting_of_the_site_has_its_words_and_none_is_left_over() -> None:
    keys = set(page.defaults())
    assert {key for key in keys if not key.startswith("backend.")} <= set(WORDS)
    assert set(WORDS) <= keys


def test_every_section_says_what_it_is_for() -> None:
    assert {key.partition(".")[0] for key in WORDS} - {"backend"} == set(SECTIONS)
