"""SCR's files after a verdict, as SCR itself would write them: new trees from old ones, pure.

What is not ours to change stays: other datasets, FETCHED, keys that are not known here.
"""

from poststage.scr.datasets import Dataset
from poststage.scr.files import INDEX_VERSION, SUMMARY_VERSION, ids
from poststage.statefile import kvtree
from poststage.statefile.kvtree import Tree


def value(of: int | bytes) -> Tree:
    """A plain value."""
    return {b"%d" % of if isinstance(of, int) else of: {}}


def summary(dataset: Dataset) -> Tree:
    """summary.scr of a dataset that is whole."""
    return {
        b"VERSION": value(SUMMARY_VERSION),
        b"COMPLETE": value(1),
        b"DSET": dataset.descriptor,
    }


def completed(index: Tree, dataset: Dataset, now: bytes) -> Tree:
    """index.scr when `dataset` is whole at time `now`; the same tree if it says so already.

    CURRENT names it if it is a checkpoint and none that is whole is newer.
    """
    old = _entry(index, dataset)
    if _is_whole(old) and b"FLUSHED" in old:
        return index
    kept = {key: below for key, below in old.items() if key != b"FAILED"}
    new = {**kept, b"DSET": dataset.descriptor, b"COMPLETE": value(1), b"FLUSHED": value(now)}
    after = _with_entry(_without_namesake(index, dataset), dataset, new)
    if dataset.checkpoint and _newest(after) == dataset.id:
        return {**after, b"CURRENT": value(dataset.name)}
    return after


def failed(index: Tree, dataset: Dataset, now: bytes) -> Tree:
    """index.scr when `dataset` can never be whole; the same tree if it says so already.

    CURRENT moves to the newest checkpoint that is whole, if it named this one.
    """
    old = _entry(index, dataset)
    if b"FAILED" in old and not _is_whole(old):
        return index
    described = {b"DSET": dataset.descriptor} if dataset.descriptor else {}
    new = {**old, **described, b"COMPLETE": value(0), b"FAILED": value(now)}
    after = _with_entry(index, dataset, new)
    if kvtree.text(after, b"CURRENT") != dataset.name or not dataset.name:
        return after
    rest = {key: below for key, below in after.items() if key != b"CURRENT"}
    newest = _newest(after)
    return rest if newest is None else {**rest, b"CURRENT": value(_name(after, newest))}


def without(flush: Tree, number: int) -> Tree:
    """flush.scr without a dataset: it is on the parallel file system."""
    return _below(flush, b"DATASET", b"%d" % number, None)


def stopped(flush: Tree, number: int) -> Tree:
    """flush.scr when a dataset is not being flushed any more."""
    entry = flush.get(b"DATASET", {}).get(b"%d" % number)
    if entry is None or b"FLUSHING" not in entry.get(b"LOCATION", {}):
        return flush
    places = {key: below for key, below in entry[b"LOCATION"].items() if key != b"FLUSHING"}
    left = {key: below for key, below in entry.items() if key != b"LOCATION"}
    if places:
        left[b"LOCATION"] = places
    return _below(flush, b"DATASET", b"%d" % number, left)


def _entry(index: Tree, dataset: Dataset) -> Tree:
    return index.get(b"DSET", {}).get(b"%d" % dataset.id, {})


def _with_entry(index: Tree, dataset: Dataset, entry: Tree) -> Tree:
    key = b"%d" % dataset.id
    after = _below(index, b"DSET", key, entry)
    if dataset.name:
        after = _below(after, b"NAME", dataset.name, {b"DSET": value(dataset.id)})
    return after if b"VERSION" in after else {**after, b"VERSION": value(INDEX_VERSION)}


def _without_namesake(index: Tree, dataset: Dataset) -> Tree:
    """SCR has one dataset a name: an older one of this name gives way, as in SCR."""
    named = index.get(b"NAME", {}).get(dataset.name, {})
    other = kvtree.number(named, b"DSET", 0, 10**9)
    return index if other in {None, dataset.id} else _below(index, b"DSET", b"%d" % other, None)


def _below(tree: Tree, key: bytes, child: bytes, new: Tree | None) -> Tree:
    """`tree` with `new` (or nothing) at `key`/`child`."""
    rest = {name: below for name, below in tree.get(key, {}).items() if name != child}
    if new is not None:
        rest[child] = new
    left = {name: below for name, below in tree.items() if name != key}
    return {**left, key: rest} if rest else left


def _is_whole(entry: Tree) -> bool:
    return kvtree.number(entry, b"COMPLETE", 0, 1) == 1 and b"FAILED" not in entry


def _newest(index: Tree) -> int | None:
    """The checkpoint with the highest id that is whole."""
    whole = [
        number for number, entry in ids(index, b"DSET") if _is_whole(entry) and _is_ckpt(entry)
    ]
    return max(whole, default=None)


def _is_ckpt(entry: Tree) -> bool:
    return kvtree.number(entry.get(b"DSET", {}), b"FLAG_CKPT", 0, 1 << 31) not in {None, 0}


def _name(index: Tree, number: int) -> bytes:
    return kvtree.text(_entry_of(index, number).get(b"DSET", {}), b"NAME") or b""


def _entry_of(index: Tree, number: int) -> Tree:
    return index.get(b"DSET", {}).get(b"%d" % number, {})
