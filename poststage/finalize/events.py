"""A report as events for the site's log: flat, with the same keys every time.

Values are text in written form (names.py): ASCII without quotes, backslashes or newlines, so
that a line is a line whatever a user called a file.
"""

from collections.abc import Iterator

from poststage.finalize.report import DatasetReport, Problem, Report
from poststage.finalize.work import Job
from poststage.model import Kind, Verdict
from poststage.names import shown, to_text

KEYS = ("event", "job", "dataset", "rank", "file", "verdict", "errno", "reason")
"""In this order; an event has those that mean something for it."""

Event = dict[str, str]


def events(report: Report, job: str) -> Iterator[Event]:
    """One event for each file that is not published, each dataset, each note, and the run.

    Of a dataset at most report.PROBLEMS_MAX files are told one by one. Files that are published
    are told when they are, see `published`.
    """
    for one in report.datasets:
        for problem in one.problems:
            yield _of_problem(one, problem, job)
        yield _of_dataset(one, job)
    for note in report.notes:
        yield _event(event="note", job=job, file=report.state_dir, reason=note)
    code = int(report.exit_code)
    yield _event(event="run", job=job, file=report.state_dir, verdict=f"exit {code}")


def published(work: Job, job: str) -> Iterator[Event]:
    """One event for each file and link of a state file that this run has published, durably."""
    head = work.state.head
    for index, one in sorted(work.outcomes.items()):
        entry = work.state.entries[index]
        if one.verdict is Verdict.PUBLISHED and entry.kind is not Kind.DIRECTORY:
            yield _event(
                event="file",
                job=job or head.job,
                dataset=shown(head.dataset),
                rank=str(head.part) if head.parts else "",
                file=to_text(entry.destination),
                verdict=one.verdict.value,
            )


def _of_problem(one: DatasetReport, problem: Problem, job: str) -> Event:
    return _event(
        event="file" if problem.destination else "statefile",
        job=job,
        dataset=one.dataset,
        rank=str(problem.part) if problem.part >= 0 else "",
        file=problem.destination or problem.state_file,
        verdict=problem.verdict,
        errno=problem.errno,
        reason=problem.reason,
    )


def _of_dataset(one: DatasetReport, job: str) -> Event:
    counts = " ".join(f"{word}={number}" for word, number in one.files.items())
    missing = f" missing_parts={one.parts - one.parts_seen}" if one.parts_seen < one.parts else ""
    return _event(
        event="dataset",
        job=job,
        dataset=one.dataset,
        verdict="complete" if one.complete else "incomplete",
        reason=f"{counts}{missing}".strip(),
    )


def _event(**values: str) -> Event:
    written = {key: _written(value) for key, value in values.items()}
    return {key: written[key] for key in KEYS if written.get(key)}


def _written(text: str) -> str:
    """Written form, once: what is so already stays as it is."""
    plain = text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}
    return text if plain else to_text(text.encode("utf-8", "surrogateescape"))
