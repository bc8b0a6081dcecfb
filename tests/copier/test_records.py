"""A record has one written form, and nothing else is read as one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.copier import records
from poststage.copier.records import ItemRecord, decode, encode, outcome
from poststage.model import TransferState

ITEM = ItemRecord(3, "/bb/a", "/pfs/.a", 5, -7)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode(encode(ITEM)) == ITEM


@given(reason=st.text())
def test_a_reason_of_any_text_makes_a_record_that_is_read(reason: str) -> None:
    record = outcome(ITEM, TransferState.FAILED, reason)
    assert decode(encode(record)) == record


@given(st.binary())
def test_any_bytes_give_a_record_or_a_value_error(payload: bytes) -> None:
    with suppress(ValueError):
        assert encode(decode(payload)) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        encode(ITEM).replace(b'"size":5', b'"size":5,"size":5'),
        encode(ITEM).replace(b'"size":5', b'"size":5.0'),
        encode(ITEM).replace(b'"size":5', b'"size":-5'),
        encode(ITEM).replace(b'"size":5', b'"size":' + b"9" * 5000),
        encode(ITEM).replace(b'"size":5', b'"size":5,"more":1'),
        encode(records.EventRecord("started\n", 1)),
        encode(records.EndRecord("FAILED\n", 1)),
        encode(records.TransferRecord(1, "tag\n", "h", 1)),
        encode(ITEM).replace(b",", b", "),
        b'{"record":"nothing"}',
        b"",
    ],
)
def test_a_second_spelling_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(payload)


@pytest.mark.parametrize("name", ["relative", "/a//b", "/a/../b", "/a/%41", "/a/%zz", "/a\n", "/"])
@pytest.mark.parametrize("field", ["source", "target"])
def test_an_item_names_plain_absolute_paths(field: str, name: str) -> None:
    fields = {"source": "/bb/a", "target": "/pfs/.a", field: name}
    with pytest.raises(ValueError, match=r"."):
        ItemRecord(0, fields["source"], fields["target"], 0, 0).check()


def test_a_reason_is_cut_to_what_a_record_takes() -> None:
    assert len(records.text_of("\x1b" * 100_000)) <= records.REASON_MAX
