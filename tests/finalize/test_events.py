"""A report as events: the same keys every time, values that are one line whatever is in them."""

from hypothesis import given
from hypothesis import strategies as st

from poststage.errors import ExitCode
from poststage.eventlog import line
from poststage.finalize.events import KEYS, events
from poststage.finalize.report import DatasetReport, Problem, Report


def report(*problems: Problem, name: str = "step.0", notes: tuple[str, ...] = ()) -> Report:
    files = {"failed": len(problems), "published": 7}
    one = DatasetReport(name, name, False, 4, 3, files=files, problems=problems)
    return Report("/state", ExitCode.NEEDS_PERSON, (one,), notes)


def test_each_file_that_is_not_published_is_an_event_and_so_is_its_dataset_and_the_run() -> None:
    problem = Problem(2, "unknown", "fsync: no", destination="/lustre/data.2", errno="EIO")
    assert list(events(report(problem, notes=("x: y",)), "12")) == [
        {
            "event": "file",
            "job": "12",
            "dataset": "step.0",
            "rank": "2",
            "file": "/lustre/data.2",
            "verdict": "unknown",
            "errno": "EIO",
            "reason": "fsync: no",
        },
        {
            "event": "dataset",
            "job": "12",
            "dataset": "step.0",
            "verdict": "incomplete",
            "reason": "failed=1 published=7 missing_parts=1",
        },
        {"event": "note", "job": "12", "file": "/state", "reason": "x: y"},
        {"event": "run", "job": "12", "file": "/state", "verdict": "exit 3"},
    ]


def test_a_damaged_state_file_is_an_event_of_its_own() -> None:
    problem = Problem(-1, "unknown", "checksum mismatch", state_file="/state/step.0/3.state")
    (first, *_) = events(report(problem), "")
    assert first["event"] == "statefile"
    assert "rank" not in first
    assert "job" not in first


@given(st.text(), st.text(), st.text())
def test_no_name_makes_more_than_a_line_or_another_key(job: str, name: str, why: str) -> None:
    problem = Problem(0, "failed", why, destination="/x")
    for event in events(report(problem, name=name), job):
        assert tuple(event) == tuple(key for key in KEYS if key in event)
        text = line(event, "text")
        assert text.isascii()
        assert text.isprintable()
