"""The tree of a simulated job: what it holds, and that taking it away takes nothing else."""

import errno
from pathlib import Path

import pytest

from poststage.simulate import tree
from poststage.simulate.tree import Shape
from poststage.statefile import read_state

SHAPE = Shape(ranks=3, files=2, size=10)


def names(top: Path) -> set[str]:
    """Every name below `top`."""
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def test_a_tree_has_a_state_file_and_temp_files_for_each_rank(tmp_path: Path) -> None:
    tree.lay(tmp_path, SHAPE)
    states = sorted((tmp_path / "state").rglob("*.state"))
    assert len(states) == SHAPE.ranks
    for path in states:
        with open(path, "rb") as file:
            state = read_state(file.fileno(), bytes(path))
        assert state is not None
        assert state.started
        assert state.head.parts == SHAPE.ranks
        for entry in state.entries:
            temp = Path(entry.destination.decode()).with_name(entry.temp.decode())
            assert temp.stat().st_size == SHAPE.size


def test_a_tree_that_nobody_has_finalized_is_wrong(tmp_path: Path) -> None:
    tree.lay(tmp_path, SHAPE)
    assert tree.wrong(tmp_path, SHAPE) == "file 0 of rank 0: has no name"


def test_taking_a_tree_away_leaves_nothing_of_it(tmp_path: Path) -> None:
    tree.lay(tmp_path, SHAPE)
    tree.take_away(tmp_path, SHAPE)
    assert names(tmp_path) == set()


def test_what_was_not_made_need_not_be_there(tmp_path: Path) -> None:
    tree.take_away(tmp_path, SHAPE)
    tree.lay(tmp_path, Shape(ranks=1, files=1))
    tree.take_away(tmp_path, SHAPE)
    assert names(tmp_path) == set()


def test_taking_a_tree_away_does_not_take_what_is_somebody_elses(tmp_path: Path) -> None:
    tree.lay(tmp_path, SHAPE)
    (tmp_path / "dst/1/mine").write_bytes(b"mine")
    with pytest.raises(OSError, match=r"not empty") as caught:
        tree.take_away(tmp_path, SHAPE)
    assert caught.value.errno == errno.ENOTEMPTY
    assert (tmp_path / "dst/1/mine").read_bytes() == b"mine"
