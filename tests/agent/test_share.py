"""Sharing out: nothing lost, nothing twice, nobody with more than is fair."""

import itertools
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from poststage.agent.items import Item
from poststage.agent.share import FILE_COST, cost, share_out
from poststage.model import Kind

SIZES = st.lists(st.integers(0, 10**12) | st.just(0), max_size=60)


def files(sizes: list[int]) -> list[Item]:
    return [Item(Kind.FILE, b"/s/%d" % i, b"/d/%d" % i, size) for i, size in enumerate(sizes)]


@given(SIZES, st.integers(1, 9))
def test_nobody_has_more_than_the_average_and_one_file(sizes: list[int], ranks: int) -> None:
    items = files(sizes)
    loads = [sum(map(cost, piece)) for piece in share_out(items, ranks)]
    largest = max(map(cost, items), default=0)
    assert max(loads) <= sum(loads) / ranks + largest
    assert len(loads) == ranks


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=7), st.integers(2, 3))
def test_the_longest_share_is_at_most_four_thirds_of_the_best_possible(
    sizes: list[int], ranks: int
) -> None:
    items = files(sizes)
    longest = max(sum(map(cost, piece)) for piece in share_out(items, ranks))
    best = min(
        max(sum(cost(i) for i, r in zip(items, where, strict=True) if r == rank) for rank in where)
        for where in itertools.product(range(ranks), repeat=len(items))
    )
    # Graham 1969: 4/3 - 1/(3 m) for largest first
    assert longest * 3 * ranks <= (4 * ranks - 1) * best


@given(st.lists(st.tuples(st.integers(0, 10**6), st.none() | st.integers(0, 5))), st.integers(1, 7))
def test_each_name_is_given_to_one_rank_and_names_of_a_file_to_the_same(
    found: list[tuple[int, int | None]], ranks: int
) -> None:
    items = [
        Item(
            Kind.FILE,
            b"/s/%d" % i,
            b"/d/%d" % i,
            size if group is None else group,
            None if group is None else (1, group),
        )
        for i, (size, group) in enumerate(found)
    ]
    pieces = share_out(items, ranks)
    assert sorted(item.source for piece in pieces for item in piece) == sorted(
        item.source for item in items
    )
    for group in range(6):
        owners = {r for r, piece in enumerate(pieces) for i in piece if i.inode == (1, group)}
        assert len(owners) <= 1


def test_empty_files_are_shared_out_too() -> None:
    assert [len(piece) for piece in share_out(files([0] * 8), 4)] == [2, 2, 2, 2]


def test_the_names_of_one_file_cost_its_bytes_once() -> None:
    linked = [Item(Kind.FILE, b"/s/%d" % i, b"/d/%d" % i, 10**9, (1, 1)) for i in range(3)]
    pieces = share_out([*files([10**9]), *linked], 2)
    assert sorted(map(len, pieces)) == [1, 3]
    assert FILE_COST < 10**9


def test_each_rank_can_make_the_directories_of_its_own_files() -> None:
    directories = [Item(Kind.DIRECTORY, b"/s" + d, b"/d" + d) for d in (b"/a", b"/a/b", b"/empty")]
    items = [*directories, Item(Kind.FILE, b"/s/a/b/f", b"/d/a/b/f", 5)]
    items += [Item(Kind.FILE, b"/s/g", b"/d/g", 5)]
    pieces = share_out(items, 3)
    for piece in pieces:
        made = {item.destination for item in piece if item.kind is Kind.DIRECTORY}
        order = [item.destination for item in piece]
        for item in piece:
            above = os.path.dirname(item.destination)
            assert above == b"/d" or above in made
            assert above == b"/d" or order.index(above) < order.index(item.destination)
    assert b"/d/empty" in {item.destination for item in pieces[0]}
    assert b"/d/empty" not in {item.destination for piece in pieces[1:] for item in piece}


def test_nothing_to_share_is_nothing_for_everybody() -> None:
    assert share_out([], 3) == [[], [], []]
