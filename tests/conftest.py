"""What all tests share: the ways of hypothesis, no settings of the user, the harnesses' table."""

import os
from pathlib import Path
from typing import Any

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

_USER = ("POSTSTAGE_STATE_DIR", "POSTSTAGE_SITE", "POSTSTAGE_DEBUG", "POSTSTAGE_JOB_ID")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _USER:
        monkeypatch.delenv(name, raising=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests are spread over processes, each gives its rows to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["crash"] = tally.exported()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the rows of a process that is done."""
    tally.add(getattr(node, "workeroutput", {}).get("crash", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what was injected and what came of it."""
    lines = tally.table()
    if lines:
        if path := os.environ.get("POSTSTAGE_TABLE"):
            Path(path).write_text("\n".join(lines) + "\n")
        terminalreporter.section(f"crash and attack harnesses ({tally.LEVEL.value or 'sample'})")
        for line in lines:
            terminalreporter.write_line(line)
