"""SCR's files after a verdict: only what the verdict is about changes, and twice is once."""

from typing import Any

import pytest

from poststage.scr import trees
from poststage.scr.datasets import Dataset
from poststage.statefile import kvtree
from tests.axl.lay import pack
from tests.scr.prefix import Nested, pairs

NOW, LATER = b"2026-01-02T03:04:05", b"2027-01-02T03:04:05"


def tree(of: dict[Any, Any]) -> kvtree.Tree:
    return kvtree.parse(pack(pairs(of)))


def ckpt(number: int, *, checkpoint: bool = True, name: bytes = b"") -> Dataset:
    name = name or b"ckpt.%d" % number
    flag = {"ID": number, "NAME": name, "FLAG_CKPT": int(checkpoint)}
    return Dataset(number, name, not checkpoint, checkpoint, begun=True, descriptor=tree(flag))


def entry(number: int, **more: Any) -> Nested:
    return {"DSET": {"NAME": f"ckpt.{number}", "FLAG_CKPT": 1}, **more}


def test_an_empty_index_gets_version_name_entry_and_current() -> None:
    assert trees.completed({}, ckpt(6), NOW) == tree(
        {
            "VERSION": 2,
            "CURRENT": "ckpt.6",
            "NAME": {"ckpt.6": {"DSET": 6}},
            "DSET": {
                6: {
                    "COMPLETE": 1,
                    "FLUSHED": NOW,
                    "DSET": {"ID": 6, "NAME": "ckpt.6", "FLAG_CKPT": 1},
                }
            },
        }
    )


@pytest.mark.parametrize("verdict", [trees.completed, trees.failed])
def test_a_verdict_that_is_there_is_not_written_again(verdict: Any) -> None:
    once = verdict({}, ckpt(6), NOW)
    assert verdict(once, ckpt(6), LATER) is once


def test_completed_takes_failed_away_and_failed_takes_completeness_away() -> None:
    failed = trees.failed({}, ckpt(6), NOW)
    assert failed[b"DSET"][b"6"][b"FAILED"] == {NOW: {}}
    assert failed[b"DSET"][b"6"][b"COMPLETE"] == {b"0": {}}
    after = trees.completed(failed, ckpt(6), LATER)[b"DSET"][b"6"]
    assert b"FAILED" not in after
    assert after[b"COMPLETE"] == {b"1": {}}


def test_an_output_is_never_current() -> None:
    assert b"CURRENT" not in trees.completed({}, ckpt(6, checkpoint=False), NOW)


@pytest.mark.parametrize(("newer", "current"), [({"COMPLETE": 1}, 9), ({"COMPLETE": 0}, 6)])
def test_current_is_the_newest_checkpoint_that_is_whole(newer: Nested, current: int) -> None:
    index = tree({"VERSION": 2, "CURRENT": "ckpt.9", "DSET": {9: entry(9, **newer)}})
    after = trees.completed(index, ckpt(6), NOW)
    assert after[b"CURRENT"] == {b"ckpt.%d" % current: {}}


def test_current_leaves_what_has_failed_for_the_newest_that_is_whole_or_for_nothing() -> None:
    whole = {3: entry(3, COMPLETE=1), 4: entry(4, COMPLETE=1, FAILED="then")}
    index = {"VERSION": 2, "CURRENT": "ckpt.6", "DSET": {6: entry(6, COMPLETE=0)}}
    assert b"CURRENT" not in trees.failed(tree(index), ckpt(6), NOW)
    index["DSET"] = {**whole, 6: entry(6, COMPLETE=0)}
    assert trees.failed(tree(index), ckpt(6), NOW)[b"CURRENT"] == {b"ckpt.3": {}}
    index["CURRENT"] = "ckpt.3"
    assert trees.failed(tree(index), ckpt(6), NOW)[b"CURRENT"] == {b"ckpt.3": {}}


def test_a_namesake_gives_way_as_in_scr() -> None:
    before = {"VERSION": 2, "NAME": {"n": {"DSET": 1}}, "DSET": {1: entry(1, COMPLETE=1)}}
    after = trees.completed(tree(before), ckpt(2, name=b"n"), NOW)
    assert after[b"NAME"] == {b"n": {b"DSET": {b"2": {}}}}
    assert set(after[b"DSET"]) == {b"2"}


def test_other_datasets_and_unknown_keys_stay_and_the_old_tree_is_not_changed() -> None:
    before = tree({"VERSION": 2, "X": {"Y": 1}, "DSET": {1: entry(1, FETCHED={"a": {}, "b": {}})}})
    copy = kvtree.parse(kvtree.build(before))
    for after in (trees.completed(before, ckpt(2), NOW), trees.failed(before, ckpt(2), NOW)):
        assert after[b"DSET"][b"1"] == copy[b"DSET"][b"1"]
        assert after[b"X"] == copy[b"X"]
    assert before == copy


def test_the_flush_file_loses_what_is_whole_and_nothing_else() -> None:
    both = {"DATASET": {1: {"LOCATION": "FLUSHING"}, 2: {"LOCATION": "CACHE"}}}
    assert trees.without(tree(both), 1) == tree({"DATASET": {2: {"LOCATION": "CACHE"}}})
    assert trees.without(trees.without(tree(both), 1), 2) == {}
    assert trees.without({}, 1) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"LOCATION": {"CACHE": {}, "FLUSHING": {}}, "K": 1}, {"LOCATION": "CACHE", "K": 1}),
        ({"LOCATION": "FLUSHING", "K": 1}, {"K": 1}),
        ({"LOCATION": "CACHE", "K": 1}, {"LOCATION": "CACHE", "K": 1}),
    ],
)
def test_what_has_failed_is_not_being_flushed_any_more(before: Nested, after: Nested) -> None:
    old = tree({"DATASET": {1: before}})
    assert trees.stopped(old, 1) == tree({"DATASET": {1: after}})
    assert trees.stopped({}, 1) == {}


def test_the_summary_is_scrs_version_6() -> None:
    assert trees.summary(ckpt(6)) == tree(
        {"VERSION": 6, "COMPLETE": 1, "DSET": {"ID": 6, "NAME": "ckpt.6", "FLAG_CKPT": 1}}
    )
