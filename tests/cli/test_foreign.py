"""Commands that ask backends tell of AXL's state files that there is none to ask."""

from pathlib import Path

import pytest

from tests.axl.test_commands import top
from tests.cli.run import run
from tests.finalize.house import snapshot

__all__ = ["top"]


@pytest.mark.parametrize("command", ["wait", "cancel", "resume"])
def test_commands_that_ask_a_backend_say_that_there_is_none(top: Path, command: str) -> None:
    before = snapshot(top)
    ended = run(command, "--dir", top)
    assert ended.code == 75
    assert "whole state: AXL's, which has nobody to ask" in ended.err
    assert "no open transfers" not in ended.err
    assert snapshot(top) == before
    run("--dir", top, program="finalize")
    again = run(command, "--dir", top)
    assert (again.code, "no open transfers" in again.err) == (0, True)


@pytest.mark.parametrize("command", ["wait", "cancel", "resume"])
def test_commands_that_ask_a_backend_tell_a_torn_one(top: Path, command: str) -> None:
    (top / "torn").write_bytes((top / "whole state").read_bytes()[:99])
    ended = run(command, "--dir", top)
    assert ended.code == 65
    assert "state file torn: " in ended.err
