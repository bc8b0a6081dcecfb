"""A report as events: the same keys every time, values that are one line whatever is in them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from poststage.errors import ExitCode
from poststage.eventlog import line
from poststage.finalize.events import KEYS, events
from poststage.finalize.report import DatasetReport, Problem, Report
from poststage.finalize.run import finalize_dir
from poststage.names import to_text
from tests.finalize.house import House, Vendor


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


def test_where_the_site_wants_it_each_published_file_is_told_once_and_when_it_is(
    house: House, vendor: Vendor
) -> None:
    vendor.site.write_text(vendor.site.read_text() + '\n[log]\nfiles = "all"\n')
    entries = [house.entry("a"), house.entry("b c", index=1), house.entry("gone", index=2)]
    for entry in entries[:2]:
        house.moved(entry)
    house.write(*entries, handle=vendor.says(0), job="7")
    seen: list[dict[str, str]] = []

    def log(some: Iterable[Mapping[str, str]]) -> None:
        for event in some:
            assert (house.dst / Path(event["file"]).name.replace("%20", " ")).exists()
            seen.append(dict(event))

    for _ in range(2):
        finalize_dir(house.state, vendor.options(wait=False, log=log))
    assert [(one["file"], one["verdict"]) for one in seen] == [
        (f"{house.dst}/a", "published"),
        (to_text(os.fsencode(house.dst / "b c")), "published"),
    ]
    assert {(one["event"], one["job"], one["dataset"], one["rank"]) for one in seen} == {
        ("file", "7", "d", "0")
    }


def test_else_they_are_counted(house: House, vendor: Vendor) -> None:
    house.moved(house.entry("a"))
    house.write(house.entry("a"), handle=vendor.says(0))
    report = finalize_dir(house.state, vendor.options(wait=False, log=refused))
    assert [event["event"] for event in events(report, "7")] == ["dataset", "run"]


def refused(some: Iterable[Mapping[str, str]]) -> None:
    raise AssertionError(list(some))
