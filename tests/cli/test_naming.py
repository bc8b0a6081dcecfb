"""A dataset's name that was typed wrong is told, and never taken for one that is done."""

from pathlib import Path

import pytest

from tests.cli.run import failed, head, put, run
from tests.vectors.words import HANDLE, STARTED, entry, recorded, verdict


def one_done(state_dir: Path) -> None:
    """A dataset `one` of which everything is published."""
    records = [head("one"), entry(), recorded(1), HANDLE, STARTED, verdict(0, "published")]
    put(state_dir / "one/0.done", *records)


@pytest.mark.parametrize("command", ["wait", "cancel", "resume", "forget"])
def test_a_dataset_that_is_not_there_is_wrong_usage(command: str, tmp_path: Path) -> None:
    failed(tmp_path, "set")
    ended = run(command, "--dir", tmp_path, "--dataset", "sett")
    assert ended.code == 2, ended.err
    assert "dataset sett: there is none of that name" in ended.err
    assert "did you mean set?" in ended.err


@pytest.mark.parametrize("command", ["wait", "cancel", "resume"])
def test_a_dataset_that_is_done_is_one(command: str, tmp_path: Path) -> None:
    one_done(tmp_path)
    ended = run(command, "--dir", tmp_path, "--dataset", "one")
    assert ended.code == 0, ended.err
