"""The table of docs/finalize-protocol.md, made from the planner itself.

`python -m tests.finalize.protocol` writes it into the document.
"""

from collections.abc import Iterator
from pathlib import Path

from poststage.finalize.plan import plan_file
from poststage.finalize.seen import Fate
from tests.finalize.test_plan import Case

DOCUMENT = Path(__file__).parents[2] / "docs" / "finalize-protocol.md"
BEGIN, END = "<!-- made from plan_file: begin -->\n", "<!-- end -->\n"

FATES = {
    Fate.DONE: "whole",
    Fate.FAILED: "failed, cancelled, never started",
    Fate.UNPROVEN: "failed in part, which part is not said",
    Fate.PENDING: "running, stopped",
    Fate.UNKNOWN: "no answer",
}
TEMPS = {
    "none": "none",
    "good": "as it was closed",
    "short": "shorter than recorded",
    "long": "longer",
    "written after its end": "written since",
    "of another user": "a third user's",
    "hard-linked": "with further names",
    "fifo": "no regular file",
    "directory": "a directory",
}
DESTINATIONS = {
    ("none", False): "nothing",
    ("prior", True): "what was recorded there",
    ("older", False): "something older",
    ("newer", False): "something newer",
    ("directory", False): "a directory",
    ("the recorded file", False): "the recorded file",
}
Row = tuple[str, str, str, str, str]
Outcome = tuple[str, str]


def outcome(fate: Fate, temp: str, destination: str, *, prior: bool) -> Outcome:
    """Action and verdict at one point."""
    case = Case(fate, temp, destination, "none", prior, checksum=False, closed=True)
    plan = plan_file(case.seen)
    return plan.action.value, plan.verdict.value


def table() -> str:
    """The rows as a table; what has one outcome is one row."""
    lines = [
        "| backend says | temp file | destination | action | verdict |",
        "|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in _rows()]
    return "\n".join(lines) + "\n"


def _rows() -> Iterator[Row]:
    for fate, says in FATES.items():
        kinds = list(_alike(fate))
        for temps, outcomes in kinds:
            temp = _words(temps, len(kinds) > 1, len(TEMPS))
            places = list(_together(outcomes))
            for where, (action, verdict) in places:
                yield says, temp, _words(where, len(places) > 1, len(DESTINATIONS)), action, verdict


def _words(some: list[str], others: bool, all_of: int) -> str:
    """A list, or what is shorter; `others` have rows of their own."""
    if len(some) * 2 > all_of:
        return "anything else" if others else "anything"
    return "; ".join(some)


def _alike(fate: Fate) -> list[tuple[list[str], tuple[Outcome, ...]]]:
    """Temp files that come to the same, whatever the destination is; the many last."""
    all_of = {
        temp: tuple(outcome(fate, temp, name, prior=prior) for name, prior in DESTINATIONS)
        for temp in TEMPS
    }
    found = [
        ([TEMPS[temp] for temp in TEMPS if all_of[temp] == one], one)
        for one in dict.fromkeys(all_of.values())
    ]
    return sorted(found, key=lambda group: len(group[0]) * 2 > len(TEMPS))


def _together(outcomes: tuple[Outcome, ...]) -> list[tuple[list[str], Outcome]]:
    """Destinations with one outcome; the many last."""
    pairs = list(zip(DESTINATIONS.values(), outcomes, strict=True))
    found = [
        ([where for where, two in pairs if two == one], one) for one in dict.fromkeys(outcomes)
    ]
    return sorted(found, key=lambda group: len(group[0]) * 2 > len(DESTINATIONS))


def written(document: str) -> str:
    """`document` with the table as it has to be."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
