"""The latency that is played: before the calls that a server answers, and only for a while."""

import os
from collections import Counter
from pathlib import Path

import pytest

from poststage import config
from poststage.durable import fsops
from poststage.finalize import finalize_dir, options_of
from poststage.simulate import latency, tree
from poststage.simulate.run import simulated
from poststage.simulate.tree import Shape

SHAPE = Shape(ranks=8, files=4, size=0)
# What a finalizer cannot do without, of each rank.
NECESSARY = {
    "open": SHAPE.files + 2,  # the files, their directory, the state file
    "pread": 1,
    "chmod": SHAPE.files,
    "utime": SHAPE.files,
    "_renameat2": SHAPE.files,
    "rename": 1,  # of the state file
    "fsync": 1,  # of the files' directory
}


def test_each_call_waits_once_and_none_afterwards(tmp_path: Path) -> None:
    waits: list[str] = []
    with latency.held_back(waits.append):
        os.mkdir(tmp_path / "made")
        os.stat(tmp_path / "made")
        fd = os.open(tmp_path, os.O_RDONLY)
        fsops.publish(fd, b"made", b"new")
        os.close(fd)
    os.stat(tmp_path / "new")
    assert waits == ["mkdir", "stat", "open", "_renameat2"]


def test_all_is_as_before_also_after_an_error() -> None:
    before = os.open, fsops._call
    with pytest.raises(FileNotFoundError), latency.held_back(lambda call: None):
        os.open("/no/such/file", os.O_RDONLY)
    assert (os.open, fsops._call) == before


def test_the_finalizer_waits_for_all_that_it_cannot_do_without(tmp_path: Path) -> None:
    tree.lay(tmp_path, SHAPE)
    waits: Counter[str] = Counter()
    options = options_of(simulated(config.load(env={})), jobs=1)
    with latency.held_back(lambda call: waits.update([call])):
        finalize_dir(tree.state_dir(tmp_path), options)
    assert tree.wrong(tmp_path, SHAPE) == ""
    assert all(waits[call] >= count * SHAPE.ranks for call, count in NECESSARY.items()), waits
    assert waits.total() <= 2 * sum(NECESSARY.values()) * SHAPE.ranks
