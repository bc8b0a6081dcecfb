"""An earlier use of a dataset's name: its parts are never counted for the new one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.agent.earlier import require_unused
from poststage.errors import UsageError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The directory of dataset `d`."""
    path = tmp_path / "d"
    path.mkdir()
    return path


@pytest.fixture
def dir_fd(dataset: Path) -> Iterator[int]:
    """`dataset`, open."""
    fd = os.open(dataset, os.O_RDONLY)
    yield fd
    os.close(fd)


def ask(dataset: Path, dir_fd: int) -> None:
    """Whether part 2 can be recorded."""
    require_unused(bytes(dataset), dir_fd, b"2.state", "d")


def test_a_part_that_is_published_is_refused_with_the_ways_out(dataset: Path, dir_fd: int) -> None:
    (dataset / "2.done").write_text("")
    with pytest.raises(UsageError, match=r"d/2\.state: part is published already") as caught:
        ask(dataset, dir_fd)
    assert "`poststage forget --dataset d`" in caught.value.hint


def test_other_parts_that_are_published_first_are_no_hindrance(dataset: Path, dir_fd: int) -> None:
    (dataset / "0.done").write_text("")
    ask(dataset, dir_fd)


def test_no_part_is_added_to_a_dataset_that_is_complete(dataset: Path, dir_fd: int) -> None:
    text = '{"by": {"uid": 0}, "report": {"dataset": "d", "complete": true}}'
    (dataset.parent / "d.report.json").write_text(text)
    with pytest.raises(UsageError, match=r"dataset is complete already, says .*d\.report\.json"):
        ask(dataset, dir_fd)


@pytest.mark.parametrize("text", ["", "[]", '{"report": {"complete": false}}', "[" * 100_000])
def test_a_report_that_says_no_or_nothing_is_no_hindrance(
    dataset: Path, dir_fd: int, text: str
) -> None:
    (dataset.parent / "d.report.json").write_text(text)
    ask(dataset, dir_fd)
