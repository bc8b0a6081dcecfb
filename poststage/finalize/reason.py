"""The one line that a scheduler shows the user: what came out, in at most 120 characters."""

from collections.abc import Sequence

from poststage.errors import EXIT_MEANING, ExitCode
from poststage.finalize.report import DatasetReport, Problem, Report
from poststage.names import from_text, shown

REASON_MAX = 120
_KEY = "poststage-result:"


def result_line(code: int, reason: str) -> str:
    """What a hook looks for in the output: it reports success for nothing else."""
    return f"{_KEY} {code} {fitted(reason)}"


def reason(reports: Sequence[Report]) -> str:
    """What came out of a run, the worst first; printable ASCII."""
    datasets = [one for report in reports for one in report.datasets]
    bad = [one for one in datasets if not one.complete]
    if not datasets:
        notes = [note for report in reports for note in report.notes]
        return fitted(notes[0] if notes else "nothing was handed over")
    if not bad:
        files = sum(one.files.get("published", 0) for one in datasets)
        return fitted(f"{files} files of {_counted(len(datasets))} published")
    more = f" (and {len(bad) - 1} more of {_counted(len(datasets))})" if len(bad) > 1 else ""
    words = _of_dataset(min(bad, key=_urgency))
    return fitted(words, REASON_MAX - len(more)) + more


def fitted(text: str, room: int = REASON_MAX) -> str:
    """`text` in printable ASCII, cut to `room` characters."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in shown(text))
    return plain if len(plain) <= room else f"{plain[: room - 3].rstrip()}..."


def meaning(code: ExitCode) -> str:
    """What an exit status says where nothing better is known."""
    return fitted(EXIT_MEANING[code])


def _of_dataset(one: DatasetReport) -> str:
    name = shown(one.dataset)[:40]
    left = ", ".join(
        f"{number} {word}" for word, number in one.files.items() if word != "published"
    )
    if one.problems:
        first = min(one.problems, key=_waits)
        what = shown(from_text(first.destination or first.state_file)).rpartition("/")[2]
        return f"{name}: {left or first.verdict} ({what[:30]}: {first.reason})"
    if one.parts_seen < one.parts:
        missing = one.parts - one.parts_seen
        return f"{name}: {missing} of {one.parts} parts never recorded anything"
    return f"{name}: {left or 'is not complete'}"


def _urgency(one: DatasetReport) -> int:
    """What needs a person before what another run may settle."""
    return int(bool(one.problems) and all(map(_waits, one.problems)))


def _waits(problem: Problem) -> bool:
    """Whether another run may settle it."""
    return problem.verdict in {"running", "unknown"}


def _counted(datasets: int) -> str:
    return "1 dataset" if datasets == 1 else f"{datasets} datasets"
