"""AXL's state file in our model: what each key means, and what is refused or left in doubt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.model import State, Verdict
from poststage.statefile import axl, kvtree
from tests.axl.lay import Pairs, file, metadata, pack, transfer

META = metadata(7, UID=1000, GID=2000, MODE=0o104755)


def state_of(tree: Pairs) -> State:
    parsed = kvtree.parse(pack(tree))
    assert axl.is_state(parsed)
    return axl.state_of(parsed, id_="0" * 16, created_ns=5)


def one(destination: bytes = b"/d/f._AXL", *, meta: dict[str, int] = META, **top: Any) -> State:
    return state_of(transfer({b"/s/f": file(destination, **meta)}, **top))


def test_a_file_has_the_recorded_metadata_with_times_to_the_ns() -> None:
    [entry] = one().entries
    meta = entry.meta
    assert (meta.size, meta.uid, meta.gid, meta.mode) == (7, 1000, 2000, 0o4755)
    assert (meta.atime_ns, meta.mtime_ns) == (1_600_000_000_123_456_789, 1_650_000_000_987_654_321)
    assert entry.source == b"/s/f"
    assert entry.prior is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_comes_back_also_one_before_1970(time_ns: int) -> None:
    [entry] = one(meta=metadata(0, mtime_ns=time_ns, atime_ns=time_ns)).entries
    assert (entry.meta.mtime_ns, entry.meta.atime_ns) == (time_ns, time_ns)


@pytest.mark.parametrize(
    ("written", "destination", "temp", "in_place"),
    [
        (b"/d/f._AXL", b"/d/f", b"f._AXL", False),
        (b"/d/f._AXL123", b"/d/f", b"f._AXL123", False),
        (b"/d/x._AXL._AXL", b"/d/x._AXL", b"x._AXL._AXL", False),
        (b"/d._AXL/f", b"/d._AXL/f", b"f", True),
        (b"/d/f", b"/d/f", b"f", True),
        (b"/d/._AXL", b"/d/._AXL", b"._AXL", True),
        (b"//d/./e///f._AXL", b"/d/e/f", b"f._AXL", False),
        (b"/d/../e/f._AXL", b"/d/../e/f", b"f._AXL", False),
        (b"/d/n\nl\xff._AXL", b"/d/n\nl\xff", b"n\nl\xff._AXL", False),
    ],
)
def test_the_final_name_is_what_stands_before_the_last_extension(
    written: bytes, destination: bytes, temp: bytes, in_place: bool
) -> None:
    state = one(written)
    assert state.foreign is not None
    assert (state.entries[0].destination, state.entries[0].temp) == (destination, temp)
    assert state.foreign[0].in_place is in_place
    assert state.foreign[0].doubt is None


def test_before_dispatch_nothing_is_recorded_and_nothing_can_be_published() -> None:
    state = one(meta={}, state=1, status=1)
    assert not state.recorded
    assert state.foreign is not None
    assert state.foreign[0].doubt is not None
    assert state.foreign[0].doubt.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("top", "backend", "handle"),
    [
        ({"kind": 2}, "axl", None),
        ({"kind": 7}, "axl", None),
        ({"kind": 5, "BB_TransferHandle": 77}, "bbapi", "77"),
        ({"kind": 8, "BB_TransferHandle": 2**64 - 1}, "bbapi", str(2**64 - 1)),
        ({"kind": 5, "BB_TransferHandle": 77, "BB_Fallback": 0}, "bbapi", "77"),
        ({"kind": 5, "BB_TransferHandle": 77, "BB_Fallback": 1}, "axl", None),
        ({"kind": 5, "BB_TransferHandle": 77, "state": 1}, "axl", None),
        ({"kind": 5, "BB_TransferHandle": 77, "state": 4, "status": 3}, "axl", None),
        ({"kind": 5, "BB_TransferHandle": 77, "state": 4, "status": 4}, "bbapi", "77"),
        ({"kind": 5}, "bbapi", None),
        ({"kind": 4}, "datawarp", None),
        ({"kind": 4, "state": 4, "status": 3}, "axl", None),
        ({"kind": 99}, "axl-type-99", None),
    ],
)
def test_a_vendor_is_asked_wherever_one_may_still_write(
    top: dict[str, Any], backend: str, handle: str | None
) -> None:
    state = one(**top)
    assert (state.head.backend, state.handle) == (backend, handle)
    assert state.foreign is not None
    assert state.foreign[0].sized is (backend == "axl")


def test_two_sources_of_one_temp_file_are_both_in_doubt() -> None:
    files = {b"/s/a": b"/d/x._AXL", b"/s/b": b"/d/x._AXL", b"/s/c": b"/d/y._AXL"}
    state = state_of(transfer({source: file(to, **META) for source, to in files.items()}))
    assert state.foreign is not None
    assert [one.doubt is None for one in state.foreign] == [False, False, True]


@pytest.mark.parametrize(
    "destination", [b"d/f._AXL", b"/d/..", b"/", b"/d/" + b"n" * 256, b"/d" * 2100]
)
def test_a_destination_that_nobody_can_find_is_left_alone(destination: bytes) -> None:
    state = one(destination)
    assert state.foreign is not None
    assert state.foreign[0].doubt is not None
    assert state.foreign[0].doubt.verdict is Verdict.LOST


@pytest.mark.parametrize("meta", [{}, metadata(7, MODE=0o040755)])
def test_what_has_no_size_or_is_no_regular_file_is_left_alone(meta: dict[str, int]) -> None:
    state = one(meta=meta)
    assert state.foreign is not None
    assert state.foreign[0].doubt is not None
    assert state.foreign[0].doubt.verdict is Verdict.LOST


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"STATE": 0}, "STATE is 0"),
        ({"STATE": 6}, "STATE is 6"),
        ({"STATUS": 5}, "STATUS is 5"),
        ({"TYPE": -1}, "TYPE is -1"),
        ({"BB_TransferHandle": 2**64}, "out of range"),
    ],
)
def test_a_number_that_axl_does_not_write_is_damage(change: dict[str, int], says: str) -> None:
    tree = [(key, below) for key, below in transfer({}) if key.decode() not in change]
    tree += [(key.encode(), [(str(number).encode(), [])]) for key, number in change.items()]
    with pytest.raises(ValueError, match=says):
        state_of(tree)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"SIZE": -1}, "SIZE is -1"),
        ({"SIZE": 2**63}, "SIZE is"),
        ({"UID": 2**32 - 1}, "UID is"),
        ({"MTIME_NSECS": 10**9}, "MTIME_NSECS is"),
        ({"MTIME_SECS": 2**62}, "out of range"),
    ],
)
def test_metadata_out_of_range_is_damage(change: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        one(meta={**META, **change})


@pytest.mark.parametrize("key", ["UID", "GID", "MODE", "MTIME_SECS", "MTIME_NSECS", "ATIME_SECS"])
def test_metadata_that_is_there_in_part_is_damage(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is missing"):
        one(meta={other: number for other, number in META.items() if other != key})


def test_a_file_without_a_destination_is_damage() -> None:
    with pytest.raises(ValueError, match="has no DEST"):
        state_of(transfer({b"/s/f": [(b"STATUS", [(b"1", [])])]}))


def test_another_file_of_scr_is_no_state_file() -> None:
    assert not axl.is_state(kvtree.parse(pack([(b"VERSION", [(b"2", [])])])))
