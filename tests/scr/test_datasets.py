"""Which datasets are pending, and in which order they are to be finished."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.errors import StateFileError
from poststage.scr import trees
from poststage.scr.datasets import Dataset, pending
from poststage.statefile import kvtree
from tests.axl.lay import pack
from tests.scr.prefix import Nested, pairs

OUT = {"OUTPUT": 1, "LOCATION": "FLUSHING"}
CKPT = {"CKPT": 1, "LOCATION": "FLUSHING"}


def tree(of: dict[Any, Any]) -> kvtree.Tree:
    return kvtree.parse(pack(pairs(of)))


def found(flush: Nested, index: Nested | None = None, *directories: int) -> list[Dataset]:
    indexed = {"VERSION": 2, **({} if index is None else {"DSET": index})}
    return pending(tree({"DATASET": flush}), tree(indexed), set(directories))


def test_outputs_come_first_and_each_kind_in_ascending_order() -> None:
    datasets = found({"10": CKPT, "9": CKPT, "12": OUT, "2": {**OUT, "CKPT": 1}})
    assert [one.id for one in datasets] == [2, 12, 9, 10]


def test_what_is_on_the_parallel_file_system_is_not_pending() -> None:
    places: Nested = {"CACHE": {}, "PFS": {}, "FLUSHING": {}}
    assert found({"1": {**OUT, "LOCATION": places}}) == []


@pytest.mark.parametrize(
    ("location", "directories", "begun"),
    [
        ("CACHE", (), False),
        ("CACHE", (1,), True),
        ("FLUSHING", (), True),
        ("SYNC_FLUSHING", (), True),
    ],
)
def test_a_transfer_was_begun_if_scr_says_so_or_its_directory_is_there(
    location: str, directories: tuple[int, ...], begun: bool
) -> None:
    [dataset] = found({"1": {**CKPT, "LOCATION": location}}, None, *directories)
    assert dataset.begun is begun


def test_name_and_kind_come_from_the_descriptor() -> None:
    descriptor = {"ID": 1, "NAME": "n", "FLAG_CKPT": 1, "FLAG_OUTPUT": 1}
    [dataset] = found({"1": {"LOCATION": "FLUSHING", "DSETDESC": descriptor}})
    assert (dataset.name, dataset.checkpoint, dataset.output) == (b"n", True, True)


def test_a_descriptor_that_the_flush_file_lacks_is_the_indexs() -> None:
    [dataset] = found({"1": CKPT}, {"1": {"COMPLETE": 0, "DSET": {"NAME": "n"}}})
    assert dataset.name == b"n"


def test_the_index_alone_tells_of_open_datasets_that_have_a_directory() -> None:
    index: Nested = {
        "1": {"COMPLETE": 0, "DSET": {"NAME": "open", "FLAG_CKPT": 1}},
        "2": {"COMPLETE": 1},
        "3": {"COMPLETE": 0, "FAILED": "then"},
        "4": {"COMPLETE": 0},
    }
    [dataset] = found({}, index, 1, 2, 3)
    assert (dataset.id, dataset.name, dataset.begun) == (1, b"open", True)


@pytest.mark.parametrize(
    ("flush", "index", "says"),
    [
        ({"x": CKPT}, {}, "flush.scr: DATASET x is not a number"),
        ({"1": {**CKPT, "CKPT": "yes"}}, {}, "flush.scr: CKPT is yes"),
        ({"1": {**CKPT, "DSETDESC": {"ID": 2}}}, {}, "dataset 1 is described as 2"),
        ({}, {"-1": {}}, "index.scr: DSET -1 is not a number"),
        ({}, {"1": {"COMPLETE": "maybe"}}, "index.scr: COMPLETE is maybe"),
    ],
)
def test_what_scr_does_not_write_is_damage(flush: Nested, index: Nested, says: str) -> None:
    with pytest.raises(StateFileError, match=says):
        found(flush, index)


@pytest.mark.parametrize("index", [{"VERSION": 1}, {"DSET": {"1": {}}}])
def test_an_index_of_another_version_is_not_read(index: Nested) -> None:
    with pytest.raises(StateFileError, match="is not known"):
        pending({}, tree(index), set())


def test_without_files_nothing_is_pending() -> None:
    assert pending({}, {}, set()) == []


WORDS = [b"DATASET", b"DSET", b"DSETDESC", b"LOCATION", b"NAME", b"ID", b"CKPT", b"OUTPUT"]
WORDS += [b"FLAG_CKPT", b"FLAG_OUTPUT", b"COMPLETE", b"FAILED", b"FLUSHED", b"CURRENT", b"VERSION"]
WORDS += [b"FLUSHING", b"PFS", b"CACHE", b"0", b"1", b"2", b"-1", b"x", b""]
TREES: st.SearchStrategy[kvtree.Tree] = st.recursive(
    st.just({}), lambda below: st.dictionaries(st.sampled_from(WORDS), below, max_size=4)
)


@given(flush=TREES, index=TREES)
def test_any_files_of_scrs_give_datasets_that_can_be_recorded_or_one_clear_error(
    flush: kvtree.Tree, index: kvtree.Tree
) -> None:
    try:
        datasets = pending({b"DATASET": flush}, {b"VERSION": {b"2": {}}, **index}, {1, 2})
    except StateFileError:
        return
    for one in datasets:
        for new in (
            trees.completed(index, one, b"now"),
            trees.failed(index, one, b"now"),
            trees.summary(one),
            trees.without({b"DATASET": flush}, one.id),
            trees.stopped({b"DATASET": flush}, one.id),
        ):
            assert kvtree.parse(kvtree.build(new)) == new
