"""What all tests share: the ways of hypothesis, no settings of the user, the harnesses' table."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.crash import tally

# No deadline: a machine that is busy fails nobody. EXAMPLES=5000 digs deeper.
settings.register_profile(
    "house",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

# A run in the background ignores it, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

_ROWS = "rows of the harnesses' table"
_USER = ("POSTSTAGE_STATE_DIR", "POSTSTAGE_SITE", "POSTSTAGE_DEBUG", "POSTSTAGE_JOB_ID")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _USER:
        monkeypatch.delenv(name, raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Each test's report carries the rows that it has counted, whatever became of it."""
    report = yield
    if call.when == "call":
        report.user_properties.append((_ROWS, tally.taken()))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Where tests are spread over processes, all their reports come to the one that reports."""
    for name, value in report.user_properties if report.when == "call" else []:
        if name == _ROWS:
            assert isinstance(value, list)
            tally.add(value)
            _keep_table()


def _keep_table() -> None:
    """In POSTSTAGE_TABLE's file, as far as it has come: a run that is stopped has one too."""
    path = os.environ.get("POSTSTAGE_TABLE")
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(path).write_text("\n".join(tally.table()) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what was injected and what came of it."""
    lines = tally.table()
    if lines:
        terminalreporter.section(f"crash and attack harnesses ({tally.LEVEL.value or 'sample'})")
        for line in lines:
            terminalreporter.write_line(line)
