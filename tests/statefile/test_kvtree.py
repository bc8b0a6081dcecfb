"""KVTree files: what one is, and that anything else is one clear error in bounded time."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.statefile import kvtree
from tests.axl.lay import Pairs, pack, unpack

KEYS = st.binary(max_size=12).map(lambda key: key.replace(b"\0", b"."))
TREES: st.SearchStrategy[kvtree.Tree] = st.recursive(
    st.just({}), lambda below: st.dictionaries(KEYS, below, max_size=4), max_leaves=30
)
WHOLE = pack([(b"STATE", [(b"2", [])]), (b"FILE", [(b"/a b", [(b"DEST", [(b"/d", [])])])])])


def as_pairs(tree: kvtree.Tree) -> Pairs:
    return [(key, as_pairs(below)) for key, below in tree.items()]


def whole(body: bytes, **changes: int) -> bytes:
    """A file around `body`, its header's fields changed."""
    fields = {"magic": 0x951FC3F5, "kind": 1, "version": 1, "size": len(body) + 24, "flags": 1}
    head = struct.pack(">IHHQI", *{**fields, **changes}.values()) + body
    return head + struct.pack(">I", zlib.crc32(head))


def fact(raw: bytes) -> str:
    """Why `raw` is refused."""
    try:
        kvtree.parse(raw)
    except ValueError as error:
        return str(error)
    pytest.fail("it was taken for a whole file")


@given(TREES)
def test_what_another_hand_packs_is_read_and_what_is_built_another_hand_unpacks(
    tree: kvtree.Tree,
) -> None:
    pairs = as_pairs(tree)
    assert kvtree.parse(pack(pairs)) == tree
    assert unpack(kvtree.build(tree)) == pairs
    assert kvtree.build(tree) == pack(pairs)


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_one_changed_byte_is_never_passed_over(at: int, change: int) -> None:
    raw = bytearray(WHOLE)
    raw[at] ^= change
    assert fact(bytes(raw))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_file_is_never_passed_over(length: int) -> None:
    assert fact(WHOLE[:length])


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_good_header_and_checksum_give_a_tree_or_a_value_error(
    body: bytes,
) -> None:
    with suppress(ValueError):
        assert pack(as_pairs(kvtree.parse(whole(body)))) == whole(body)


@given(st.binary(max_size=400))
def test_any_bytes_at_all_give_a_tree_or_a_value_error(raw: bytes) -> None:
    assert fact(raw)


@given(st.binary(min_size=1, max_size=40))
def test_what_stands_behind_the_announced_size_is_passed_over(tail: bytes) -> None:
    assert kvtree.parse(WHOLE + tail) == kvtree.parse(WHOLE)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "cut short: 0 bytes"),
        (whole(b"\0\0\0\0", magic=1), "not a KVTree file"),
        (whole(b"\0\0\0\0", kind=2), "type 2 version 1"),
        (whole(b"\0\0\0\0", version=2), "type 1 version 2"),
        (whole(b"\0\0\0\0", flags=0), "no checksum"),
        (whole(b"\0\0\0\0", flags=3), "flags are 3"),
        (whole(b"\0\0\0\0", size=29), "announces 29 bytes and has 28"),
        (whole(b"\0\0\0\0", size=(1 << 64) - 1), "announces 18446744073709551615"),
        (whole(b"\0\0\0\0", size=0), "announces 0 bytes"),
        (whole(b"\0\0\0\0\0"), "1 bytes stand between"),
        (whole(b"\xff\xff\xff\xff" + b"a\0\0\0\0\0"), "announces 4294967295 keys"),
        (whole(b"\0\0\0\x01abcdefgh"), "has no end"),
        (whole(b"\0\0\0\x01abcd\0\0\0"), "cut short"),
        (whole(b"\0\0\0\x02" + b"a\0\0\0\0\0" * 2), "key a stands there twice"),
        (whole(b"\0\0\0\x01a\0" * 20 + b"\0\0\0\0"), "nested deeper"),
        (whole(b"\0\0\0\x01" + b"k" * 70_000 + b"\0\0\0\0\0"), "no end within"),
    ],
)
def test_each_kind_of_damage_is_named(raw: bytes, says: str) -> None:
    assert says in fact(raw)


def test_too_many_keys_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvtree, "NODES_MAX", 10)
    assert kvtree.parse(pack([(b"%d" % k, []) for k in range(10)]))
    assert "more than 10 keys" in fact(pack([(b"%d" % k, []) for k in range(11)]))


def test_a_key_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        kvtree.build({b"a\0b": {}})


@pytest.mark.parametrize(
    ("below", "says"),
    [
        ([(b"1", []), (b"2", [])], "has 2 values"),
        ([], "has 0 values"),
        ([(b"1", [(b"x", [])])], "not a plain value"),
        ([(b"x", [])], "is x, not a number"),
        ([(b"", [])], "not a number"),
        ([(b"1" * 21, [])], "not a number"),
        ([(b"+1", [])], "not a number"),
        ([("²".encode(), [])], "not a number"),
        ([(b"10", [])], "is 10, out of range"),
        ([(b"-1", [])], "is -1, out of range"),
    ],
)
def test_a_number_is_plain_decimal_and_in_range(below: Pairs, says: str) -> None:
    tree = kvtree.parse(pack([(b"K", below)]))
    with pytest.raises(ValueError, match=says):
        kvtree.number(tree, b"K", 0, 9)


def test_a_value_that_is_not_there_is_none() -> None:
    assert kvtree.number({}, b"K", 0, 9) is None
    assert kvtree.text({}, b"K") is None
    assert kvtree.number(kvtree.parse(pack([(b"K", [(b"-3", [])])])), b"K", -9, 9) == -3
