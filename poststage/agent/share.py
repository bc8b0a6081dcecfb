"""Sharing out items among ranks by size: pure."""

import heapq
import os
from collections.abc import Sequence

from poststage.agent.items import Item
from poststage.model import Kind

# What a file costs beside its bytes (open, create, rename), in bytes that are moved meanwhile.
FILE_COST = 64 * 1024


def share_out(items: Sequence[Item], ranks: int) -> list[list[Item]]:
    """`items` in `ranks` lists: largest first, each to the rank that has least.

    No rank has more than the average and one indivisible piece. Names of one file stay
    together, in one list. Each rank also gets the directories that its files lie in, so
    that its transfer alone can make them; empty ones go to the first. Within a list the
    order is that of `items`. Time: O(n log n + n log ranks).
    """
    order: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, rank) for rank in range(ranks)]
    for cost, piece in sorted(_pieces(items), key=lambda pair: (-pair[0], pair[1][0])):
        load, rank = loads[0]
        order[rank].extend(piece)
        heapq.heapreplace(loads, (load + cost, rank))
    directories = {
        item.destination: index for index, item in enumerate(items) if item.kind is Kind.DIRECTORY
    }
    wanted = [_above(items, indices, directories) for indices in order]
    wanted[0] |= set(directories.values()).difference(*wanted)
    return [
        [items[index] for index in sorted({*indices, *above})]
        for indices, above in zip(order, wanted, strict=True)
    ]


def cost(item: Item) -> int:
    """What moving `item` costs, in bytes."""
    return item.size + FILE_COST


def _pieces(items: Sequence[Item]) -> list[tuple[int, list[int]]]:
    """(cost, indices) of what cannot be divided: one file, or the names of one."""
    whole: dict[tuple[int, int], list[int]] = {}
    single: list[tuple[int, list[int]]] = []
    for index, item in enumerate(items):
        if item.kind is Kind.DIRECTORY:
            continue
        if item.inode is None:
            single.append((cost(item), [index]))
        else:
            whole.setdefault(item.inode, []).append(index)
    linked = [(cost(items[indices[0]]), indices) for indices in whole.values()]
    return single + linked


def _above(
    items: Sequence[Item], indices: Sequence[int], directories: dict[bytes, int]
) -> set[int]:
    """The directories among `items` that lie above those at `indices`."""
    found: set[int] = set()
    for index in indices:
        path = os.path.dirname(items[index].destination)
        while path in directories and directories[path] not in found:
            found.add(directories[path])
            path = os.path.dirname(path)
    return found
