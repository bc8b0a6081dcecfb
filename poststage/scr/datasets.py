"""Which datasets are pending, and in which order they have to be finished."""

from collections.abc import Container

from msgspec import Struct

from poststage.scr.files import FLUSH, INDEX, INDEX_VERSION, damaged, ids
from poststage.statefile import kvtree
from poststage.statefile.kvtree import Tree

_BEGUN = {b"FLUSHING", b"SYNC_FLUSHING"}


class Dataset(Struct, frozen=True):
    """One dataset that SCR has not recorded as whole on the parallel file system."""

    id: int
    name: bytes
    """Empty if SCR's descriptor of it is not there: then it cannot be completed."""
    output: bool
    checkpoint: bool
    begun: bool
    """Whether its transfer was begun; a checkpoint that only lay in the cache is no loss."""
    descriptor: Tree

    @property
    def directory(self) -> bytes:
        """Where SCR keeps its records, below PREFIX/.scr."""
        return b"scr.dataset.%d" % self.id


def pending(flush: Tree, index: Tree, directories: Container[int]) -> list[Dataset]:
    """The pending datasets: outputs in ascending order, then checkpoints in ascending order.

    From SCR's flush file; and, where that has lost one, from its index, if the dataset's
    directory is among `directories`.

    Raises:
        StateFileError: one of the two is not what SCR writes.
    """
    indexed, unfinished = _indexed(index)
    found = _flushing(flush, indexed, directories)
    known = {dataset.id for dataset in found}
    for number in unfinished:
        if number not in known and number in directories:
            descriptor = indexed[number].get(b"DSET", {})
            found.append(_dataset(INDEX, number, {}, descriptor, begun=True))
    return sorted(found, key=lambda one: (not one.output, one.id))


def _indexed(index: Tree) -> tuple[dict[int, Tree], list[int]]:
    """What the index says of each dataset, and which are neither complete nor failed."""
    try:
        version = kvtree.number(index, b"VERSION", 0, 1 << 30)
        if index and version != INDEX_VERSION:
            raise ValueError(f"version {version} is not known (this is {INDEX_VERSION})")
        found = dict(ids(index, b"DSET"))
        return found, [number for number, entry in found.items() if _is_open(entry)]
    except ValueError as error:
        raise damaged(INDEX, str(error)) from error


def _flushing(flush: Tree, indexed: dict[int, Tree], directories: Container[int]) -> list[Dataset]:
    found = []
    try:
        for number, entry in ids(flush, b"DATASET"):
            places = set(entry.get(b"LOCATION", {}))
            if b"PFS" in places:
                continue
            descriptor = entry.get(b"DSETDESC") or indexed.get(number, {}).get(b"DSET", {})
            begun = bool(places & _BEGUN) or number in directories
            found.append(_dataset(FLUSH, number, entry, descriptor, begun=begun))
    except ValueError as error:
        raise damaged(FLUSH, str(error)) from error
    return found


def _dataset(where: bytes, number: int, entry: Tree, descriptor: Tree, *, begun: bool) -> Dataset:
    try:
        said = kvtree.number(descriptor, b"ID", 0, 10**9)
        if said not in {None, number}:
            raise ValueError(f"dataset {number} is described as {said}")
        name = kvtree.text(descriptor, b"NAME") or b""
        output = _flag(entry, b"OUTPUT") or _flag(descriptor, b"FLAG_OUTPUT")
        checkpoint = _flag(entry, b"CKPT") or _flag(descriptor, b"FLAG_CKPT")
    except ValueError as error:
        raise damaged(where, str(error)) from error
    return Dataset(number, name, output, checkpoint, begun, descriptor)


def _flag(tree: Tree, key: bytes) -> bool:
    return kvtree.number(tree, key, 0, 1 << 31) not in {None, 0}


def _is_open(entry: Tree) -> bool:
    return kvtree.number(entry, b"COMPLETE", 0, 1) != 1 and b"FAILED" not in entry
