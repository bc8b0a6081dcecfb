"""docs/resume.md says what happens: every point of a transfer's life, on real daemons."""

from pathlib import Path

import pytest

from tests.agent.lives import Life
from tests.agent.points import BACKENDS, POINTS, Scene, outcome

PAGE = Path(__file__).parents[2] / "docs" / "resume.md"


def cells() -> dict[tuple[str, str], str]:
    """(point, backend's title) → what the page says."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    titles = rows[0][1:]
    return {
        (row[0], title): cell
        for row in rows[1:]
        for title, cell in zip(titles, row[1:], strict=True)
    }


SAID = cells()
LIVES = [(point, backend, scene) for point, scenes in POINTS for backend, scene in scenes.items()]


def test_no_cell_of_the_page_is_empty_and_none_is_not_tried_out() -> None:
    assert set(SAID) == {(point, BACKENDS[backend]) for point, backend, _ in LIVES}
    assert all(SAID.values())
    assert len(SAID) == len(POINTS) * len(BACKENDS)


@pytest.mark.parametrize(
    ("point", "backend", "scene"),
    LIVES,
    ids=[f"{BACKENDS[backend]}: {point}" for point, backend, _ in LIVES],
)
def test_a_resume_and_the_finalizer_do_what_the_page_says(
    point: str, backend: type[Life], scene: Scene
) -> None:
    hint = "run: python -m tests.agent.points > docs/resume.md"
    assert outcome(backend, scene) == SAID[point, BACKENDS[backend]], hint
