"""The finalizer's report for people: a table of datasets, then every file that needs one."""

import sys
import textwrap
from collections.abc import Iterable
from itertools import groupby

from poststage.cli import render
from poststage.cli.common import say
from poststage.errors import EXIT_MEANING, ExitCode
from poststage.finalize.prepare import HELD_BACK
from poststage.finalize.probes import AGENT_STOPPED, NEVER_STARTED
from poststage.finalize.report import WAITS, DatasetReport, Problem, Report
from poststage.finalize.work import STOPPED
from poststage.names import from_text, shown
from poststage.statefile.axl import NEVER_DISPATCHED

_LISTED = 20
_WIDTH = 80
_RANK = "that rank", "it", "its state file was"
_RANKS = "those ranks", "they", "their state files were"
_CHANGED = "/file or directory/files and directories"
_INDENT = "  "
_ROWS = 50
_DETAILED = 20  # datasets whose problems are listed

_ADVICE = {
    "failed": "nothing of such a file was published, and what had arrived of it is deleted; if "
    "one of that name is there, it is an older one or another dataset's. Unless that is the one "
    "you want: hand it over again from where its source still is, else compute it again",
    "lost": "compare what is kept with what you expect, then move it by hand or send it again",
    "conflict": "both files are kept; decide which one you want",
    "running": "run finalize again later",
    "unknown": "remove the cause, then run finalize again; nothing was deleted",
}

_NOT_BEGUN = (
    "nothing was handed over, so nothing of it is here; hand it over again from where its "
    "source still is. `poststage forget --failed` removes the record"
)
_ADVICE_BY_REASON = {
    AGENT_STOPPED: _NOT_BEGUN,
    NEVER_DISPATCHED: _NOT_BEGUN,
    NEVER_STARTED: _NOT_BEGUN,
    WAITS: "nothing of it was touched: SCR restarts before that output, and writes this again",
    HELD_BACK: "the rest of the dataset is told with it; when that will not arrive, "
    "`finalize --publish file` publishes what is ready",
    STOPPED: "waiting does not help: `poststage resume` where the source is, or "
    "`poststage cancel`; then finalize again",
}
"""How the reason begins → the advice, where its verdict's is not the one to give."""
_UNREADABLE = (
    "its files are as they were left. `poststage show` prints what can be read of it; remove "
    "what keeps it from being read and run finalize again, or end its files by hand, then move "
    "it away"
)


def print_report(report: Report) -> None:
    """Everything a person needs, on stderr; nothing that a name could turn into more."""
    if not report.datasets:
        say(f"{report.state_dir}: no state files")
    shown_first = sorted(report.datasets, key=lambda one: one.complete)
    columns = ("dataset", ">parts", ">published", ">size", "left", "verdict")
    if report.datasets:
        render.table(columns, [_row(one) for one in shown_first[:_ROWS]], to=sys.stderr)
    if len(shown_first) > _ROWS:
        say(f"… and {render.count(len(shown_first) - _ROWS, 'dataset')} more; --json has all")
    wrong = [one for one in shown_first if one.problems or one.missing_parts]
    for one in wrong[:_DETAILED]:
        _problems(one)
    if more := len(wrong[_DETAILED:]):
        say(f"\n… and the problems of {render.count(more, 'dataset')} more; --json has all")
    for note in report.notes:
        say(f"note: {note}")
    _last_line(report)


def _row(one: DatasetReport) -> tuple[str, ...]:
    left = ", ".join(f"{n} {word}" for word, n in one.files.items() if word != "published")
    return (
        _name(one),
        f"{one.parts_seen}/{one.parts or '?'}",
        str(one.files.get("published", 0)),
        render.size(one.published_bytes),
        left or "-",
        "complete" if one.complete else "NOT complete",
    )


def _problems(one: DatasetReport) -> None:
    if one.missing_parts:
        missing = ", ".join(map(str, one.missing_parts[:10]))
        more = one.parts - one.parts_seen - len(one.missing_parts[:10])
        also = f" and {more} more" if more > 0 else ""
        many = len(one.missing_parts) > 1
        ranks, they, files = _RANKS if many else _RANK
        say(f"\n{_name(one)}: no state file of part {missing}{also}: {ranks} ended")
        say(f"  before {they} recorded anything, or {files} removed")
    if not one.problems:
        return
    say(f"\n{_name(one)}:")
    alike = groupby(one.problems[:_LISTED], lambda problem: (problem.verdict, _reason(problem)))
    for (verdict, reason), found in alike:
        problems = list(found)
        for problem in problems:
            say(f"  {verdict:9s} {_what(problem)}")
        say(f"            {reason}")
        _sources(problems)
    if one.problems_in_all > _LISTED:
        say(f"  … and {one.problems_in_all - _LISTED} more; the dataset's report lists them")
    for advice in _advices(one.problems):
        say(
            textwrap.fill(
                advice,
                _WIDTH,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
            )
        )


def _sources(problems: Iterable[Problem]) -> None:
    gone = [problem for problem in problems if problem.source_gone]
    if gone:
        whose = "its source is" if len(gone) == 1 else "their sources are"
        say(f"            {whose} gone, or cannot be seen from here:")
    for problem in gone:
        say(f"            {shown(from_text(problem.source))}")


def _name(one: DatasetReport) -> str:
    return shown(one.dataset) or "."


def _reason(problem: Problem) -> str:
    """Why; what is named already is not named again."""
    return problem.reason.removeprefix(f"{_what(problem)}: ")


def _what(problem: Problem) -> str:
    return shown(from_text(problem.destination or problem.state_file))


def _advices(problems: Iterable[Problem]) -> list[str]:
    """Each advice once, with the verdict that it is for, in the table's order."""
    found = {f"{one.verdict}: {_advice(one)}": one.verdict for one in problems}
    order = list(_ADVICE)
    return sorted(found, key=lambda words: order.index(found[words]))


def _advice(one: Problem) -> str:
    for begin, words in _ADVICE_BY_REASON.items():
        if one.reason.startswith(begin):
            return words
    if one.verdict == "unknown" and not one.destination:
        return _UNREADABLE
    return _ADVICE[one.verdict]


def _last_line(report: Report) -> None:
    changed = sum(one.changed for one in report.datasets)
    done = "would change" if report.dry_run else "changed"
    number = render.count(changed, _CHANGED)
    what = f"{done} {number}" if changed or not report.dry_run else "plan"
    meaning = EXIT_MEANING[ExitCode(report.exit_code)]
    say(f"\n{what} in {report.seconds:.1f} s; exit status {int(report.exit_code)}: {meaning}")
