"""What the crash tests share: a workshop on a fast file system, the shim, who can do what."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash import shim, tally


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A directory that every user can reach, on tmpfs where the machine has one."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="poststage-crash-", dir=base))
    path.chmod(0o755)
    yield path.resolve()
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def library(workshop: Path) -> Path:
    """The shim, built once."""
    if shim.compiler() is None:
        # A run that asks for more than a sample must not pass by looking at nothing.
        give_up = pytest.skip if tally.LEVEL is tally.Level.SAMPLE else pytest.fail
        give_up("no C compiler on this machine")
    return shim.build(workshop)


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
        terminalreporter.section(f"crash harnesses ({tally.LEVEL.value or 'sample'})")
        for line in lines:
            terminalreporter.write_line(line)
