"""A scheduler's query command: whatever it does, there is an answer or a reason."""

from pathlib import Path

import pytest

from poststage.query import ask


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `query` that is found in PATH."""
    path = tmp_path / "query"
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_what_it_prints_is_the_answer(program: Path) -> None:
    script(program, 'echo "$1"; exit 4')
    answered = ask("query", "a b")
    assert (answered.status, answered.out) == (4, "a b\n")


def test_what_it_says_on_stderr_is_the_reason(program: Path) -> None:
    script(program, "echo first >&2; echo second >&2; exit 1")
    assert ask("query").error == "query: first"


def test_one_that_is_not_there_is_a_reason(program: Path) -> None:
    answered = ask("query")
    assert (answered.status, answered.error) == (-1, "query: No such file or directory")


def test_one_that_does_not_answer_is_killed(program: Path) -> None:
    script(program, "exec tail -f /dev/null")
    answered = ask("query", timeout_s=0.1)
    assert (answered.status, answered.error) == (-1, "query: no answer in 0.1 s")


def test_it_gets_nothing_of_our_environment_but_where_its_scheduler_is(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/x")
    monkeypatch.setenv("SECRET", "y")
    script(program, "export -p")
    out = ask("query").out
    assert "SLURM_CONF='/x'" in out
    assert "SECRET" not in out
