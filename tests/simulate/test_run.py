"""A simulation: what is measured, what is projected, and that nothing of it stays."""

import os
from pathlib import Path

import pytest

from poststage import config
from poststage.errors import ExitCode, RunAgainError, UsageError
from poststage.finalize import Options, finalize_dir, options_of
from poststage.simulate import tree
from poststage.simulate.run import Measured, projected, simulate, simulated
from poststage.simulate.tree import Shape
from poststage.statefile import layout


def options(deadline_s: float | None = None) -> Options:
    """Those of a site that has said nothing."""
    return options_of(simulated(config.load(env={})), jobs=1, deadline_s=deadline_s)


def test_what_fits_the_sample_is_measured_and_not_projected(tmp_path: Path) -> None:
    found = simulate(tmp_path, Shape(4, 2), options(), sample=8)
    assert found.is_measured
    assert found.files == 8
    assert [one.seconds for one in found.measured] == [found.seconds]


def test_of_many_ranks_two_sizes_are_measured(tmp_path: Path) -> None:
    found = simulate(tmp_path, Shape(100, 1), options(), sample=8)
    assert not found.is_measured
    assert [one.ranks for one in found.measured] == [2, 8]
    assert found.files == 100


def test_a_sample_of_none_is_all(tmp_path: Path) -> None:
    assert simulate(tmp_path, Shape(3, 1), options(), sample=0).is_measured


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    simulate(tmp_path, Shape(3, 1), options(), sample=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_is_not_published_in_time_has_no_time_and_does_not_stay(tmp_path: Path) -> None:
    with pytest.raises(RunAgainError, match="of the 0 s that it had; no time is told") as told:
        simulate(tmp_path, Shape(3, 1), options(deadline_s=0.0), sample=0)
    assert told.value.hint.startswith("finalize says: ts.0: ")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing else was touched"):
        simulate(tmp_path / "no", Shape(1, 1), options(), sample=0)


@pytest.mark.parametrize(
    ("blocks", "inodes", "fact"),
    [
        (15, 0, "7 files of 4,097 bytes are more than half of the 61,440 free"),
        (1000, 15, "7 files are more than half of the 15 that it has room for"),
    ],
)
def test_it_fills_no_file_system_that_others_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, inodes: int, fact: str
) -> None:
    def statvfs(fd: int) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 0, 0, blocks, inodes, 0, inodes, 0, 255))

    monkeypatch.setattr(os, "fstatvfs", statvfs)
    with pytest.raises(RunAgainError, match=f"{fact}; nothing was made"):
        simulate(tmp_path, Shape(1, 7, 4097), options(), sample=0)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_in_several_directories_is_one_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PARTS_IN_DIR", 4)
    shape = Shape(10, 1)
    tree.lay(tmp_path, shape)
    assert (tree.state_dir(tmp_path) / "ts.0/2.parts/9.state").exists()
    report = finalize_dir(tree.state_dir(tmp_path), options())
    assert [(one.directory, one.parts_seen, one.complete) for one in report.datasets] == [
        ("ts.0", 10, True)
    ]
    assert tree.wrong(tmp_path, shape) == ""
    again = finalize_dir(tree.state_dir(tmp_path), options())
    assert again.exit_code is ExitCode.OK
    tree.take_away(tmp_path, shape)
    assert list(tmp_path.iterdir()) == []


def measured(ranks: int, seconds: float) -> Measured:
    """A run that took `seconds`."""
    return Measured(ranks, ranks, seconds)


def test_the_time_grows_along_the_line_through_both_sizes() -> None:
    assert projected((measured(10, 2.0), measured(20, 3.0)), 120) == pytest.approx(13.0)


def test_what_does_not_grow_is_not_multiplied_with_it() -> None:
    assert projected((measured(10, 2.0), measured(20, 3.0)), 1000) == pytest.approx(101.0)


@pytest.mark.parametrize("larger", [0.04, 0.05, 0.059])
def test_noise_is_no_line_to_project_by(larger: float) -> None:
    """A million ranks in the time of two is what a straight line would make of it."""
    found = projected((measured(1, 0.04), measured(2, larger)), 1_000_000)
    assert found == pytest.approx(larger * 500_000)


def test_a_sample_of_one_rank_is_measured_once(tmp_path: Path) -> None:
    found = simulate(tmp_path, Shape(10, 1), options(), sample=1)
    assert ([one.ranks for one in found.measured], found.basis) == ([1], "proportion")
    assert found.seconds == pytest.approx(10 * found.measured[0].seconds)
