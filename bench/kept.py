"""The last full run: kept as JSON, and docs/performance.md's table and plots made from it."""

from pathlib import Path

import msgspec
from msgspec import Struct

from bench import plots, table
from bench.measure import REPOSITORY, Row

_DOCS = REPOSITORY / "docs"
PATH = _DOCS / "performance.json"
_PAGE = _DOCS / "performance.md"
_TABLE = "<!-- made by `make bench`: the table -->\n"
_PROFILE = "<!-- made by `make bench`: the profile -->\n"
_END = "<!-- end -->\n"


class Run(Struct, frozen=True):
    """Everything that one `make bench` has found."""

    machine: str
    rows: tuple[Row, ...]
    profile: str
    """Where finalize's time goes, as the page has it."""


def write(run: Run) -> None:
    """Keep `run`, and draw it."""
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    draw(run)


def read() -> Run:
    """The last full run."""
    return msgspec.json.decode(PATH.read_bytes(), type=Run)


def draw(run: Run) -> None:
    """Put table and profile into the page, and make the plots beside it."""
    page = _PAGE.read_text(encoding="utf-8")
    page = _with(page, _TABLE, f"{run.machine}\n\n{table.markdown(run.rows)}")
    _PAGE.write_text(_with(page, _PROFILE, run.profile), encoding="utf-8")
    plots.draw(run.rows, _DOCS)


def _with(page: str, begin: str, made: str) -> str:
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(_END)
    return f"{before}{begin}\n{made}\n{_END}{after}"


def page_is_of(run: Run, page: Path = _PAGE) -> bool:
    """Whether the page has the table and the profile of `run`."""
    text = page.read_text(encoding="utf-8")
    return table.markdown(run.rows) in text and run.profile in text
