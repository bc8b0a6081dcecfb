"""Every pending state file once, and no directory's all at once."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from poststage.finalize.listed import Listed, by_directory
from poststage.finalize.pending import Pending
from poststage.finalize.scan import Group

TOP = Path("/state")
counts = st.lists(st.integers(0, 300), max_size=4)


def group(dataset: int, counts: list[int]) -> Group:
    names = [b"%d.parts/%d.state" % (k, part) for k, n in enumerate(counts) for part in range(n)]
    return Group(b"d%d" % dataset, tuple(names), ())


@given(st.lists(counts, max_size=3))
def test_each_is_there_once_under_its_path(datasets: list[list[int]]) -> None:
    groups = [group(k, counts) for k, counts in enumerate(datasets)]
    listed = Listed(TOP, groups)
    wanted = [
        Pending(one.directory, name, b"/state/" + one.directory + b"/" + name)
        for one in groups
        for name in one.pending
    ]
    assert len(listed) == len(wanted)
    assert Counter(one.path for one in listed) == Counter(one.path for one in wanted)
    assert all(one in listed for one in wanted[:3])
    assert Pending(b"d0", b"other", b"/state/d0/other") not in listed
    assert list(listed) == list(listed)
    for directory, some in by_directory(listed).items():
        assert {one.directory for one in some} == {directory}


def test_directories_take_turns_and_each_keeps_its_order() -> None:
    listed = list(Listed(TOP, [group(0, [200, 100]), group(1, [70])]))
    first = listed[: 3 * 64]
    assert Counter(one.path.rpartition(b"/")[0] for one in first) == {
        b"/state/d0/0.parts": 64,
        b"/state/d0/1.parts": 64,
        b"/state/d1/0.parts": 64,
    }
    names = [one.name for one in listed if one.directory == b"d0" and b"0.parts" in one.name]
    assert names == [b"0.parts/%d.state" % part for part in range(200)]


def test_a_dataset_of_one_directory_is_in_order() -> None:
    small = Group(b"d", (b"0.state", b"1.state", b"10.state"), ())
    assert [one.name for one in Listed(TOP, [small])] == [b"0.state", b"1.state", b"10.state"]
