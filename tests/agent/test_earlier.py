"""An earlier use of a dataset's name: its parts are never counted for the new one."""

from pathlib import Path

import pytest

from poststage.agent.earlier import require_not_elsewhere, require_unused
from poststage.errors import UsageError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The directory of dataset `d`."""
    path = tmp_path / "d"
    path.mkdir()
    return path


def ask(dataset: Path, name: str = "2.state") -> None:
    """Whether part 2 can be recorded."""
    require_unused(bytes(dataset), bytes(dataset / name), "d")
    require_not_elsewhere(bytes(dataset), bytes(dataset / name), "d")


def test_a_part_that_is_published_is_refused_with_the_ways_out(dataset: Path) -> None:
    (dataset / "2.done").write_text("")
    with pytest.raises(UsageError, match=r"d/2\.state: part is published already") as caught:
        ask(dataset)
    assert "`poststage forget --dataset d`" in caught.value.hint


def test_other_parts_that_are_published_first_are_no_hindrance(dataset: Path) -> None:
    (dataset / "0.done").write_text("")
    ask(dataset)


def test_no_part_is_added_to_a_dataset_that_is_complete(dataset: Path) -> None:
    text = '{"by": {"uid": 0}, "report": {"dataset": "d", "complete": true}}'
    (dataset.parent / "d.report.json").write_text(text)
    with pytest.raises(UsageError, match=r"dataset is complete already, says .*d\.report\.json"):
        ask(dataset)


@pytest.mark.parametrize("text", ["", "[]", '{"report": {"complete": false}}', "[" * 100_000])
def test_a_report_that_says_no_or_nothing_is_no_hindrance(dataset: Path, text: str) -> None:
    (dataset.parent / "d.report.json").write_text(text)
    ask(dataset)


@pytest.mark.parametrize("record", ["0.parts/2.state", "0.parts/2.done"])
def test_a_part_of_a_use_with_many_parts_is_not_counted_for_one_with_few(
    dataset: Path, record: str
) -> None:
    (dataset / "0.parts").mkdir()
    (dataset / record).write_text("")
    with pytest.raises(UsageError, match=r"part is on record already, as .*0\.parts/2\."):
        ask(dataset)


@pytest.mark.parametrize("record", ["2.state", "2.done"])
def test_a_part_of_a_use_with_few_parts_is_not_counted_for_one_with_many(
    dataset: Path, record: str
) -> None:
    (dataset / "0.parts").mkdir()
    (dataset / record).write_text("")
    with pytest.raises(UsageError, match=r"part is on record already, as .*d/2\."):
        ask(dataset, "0.parts/2.state")
