"""What the last run of finalize said of a dataset holds until something is recorded after it."""

import pytest

from poststage.cli.last_word import lost
from poststage.finalize.report import DatasetReport, Problem
from poststage.model import Verdict


def report(*verdicts: str, files: dict[str, int]) -> DatasetReport:
    """A report of `files` and of problems with `verdicts`."""
    problems = tuple(Problem(0, verdict, "") for verdict in verdicts)
    return DatasetReport("d", "d", False, 1, 1, files=files, problems=problems)


def test_no_report_says_that_nothing_is_lost() -> None:
    assert lost(None) == 0


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_is_lost_counts_only_when_all_else_is_decided(verdict: Verdict) -> None:
    is_open = verdict in {Verdict.RUNNING, Verdict.UNKNOWN}
    assert lost(report(files={"lost": 2, verdict.value: 2})) == (0 if is_open else 2)
    assert lost(report(verdict.value, files={"lost": 2})) == (0 if is_open else 2)
