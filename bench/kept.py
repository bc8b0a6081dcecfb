"""The last full run: kept as JSON, and docs/performance.md's table and plots made from it."""

from pathlib import Path

import msgspec
from msgspec import Struct

from bench import plots, table
from bench.measure import REPOSITORY, Row

_DOCS = REPOSITORY / "docs"
PATH = _DOCS / "performance.json"
_PAGE = _DOCS / "performance.md"
_BEGIN, _END = "<!-- made by `make bench`: begin -->\n", "<!-- end -->\n"


class Run(Struct, frozen=True):
    """Everything that one `make bench` has found."""

    machine: str
    rows: tuple[Row, ...]


def write(run: Run) -> None:
    """Keep `run`, and draw it."""
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    draw(run)


def read() -> Run:
    """The last full run."""
    return msgspec.json.decode(PATH.read_bytes(), type=Run)


def draw(run: Run) -> None:
    """Put the table into the page, and make the plots beside it."""
    page = _PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    made = f"{run.machine}\n\n{table.markdown(run.rows)}"
    _PAGE.write_text(f"{before}{_BEGIN}\n{made}\n{_END}{after}", encoding="utf-8")
    plots.draw(run.rows, _DOCS)


def page_is_of(run: Run, page: Path = _PAGE) -> bool:
    """Whether the page has the table of `run`."""
    return table.markdown(run.rows) in page.read_text(encoding="utf-8")
