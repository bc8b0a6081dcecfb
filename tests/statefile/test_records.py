"""A record has one spelling: `decode` takes what `encode` gives and nothing else."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.statefile.records import EventRecord, decode, encode
from tests.vectors.words import HEAD, entry, recorded, verdict

RECORDS = [HEAD, entry(), entry("symlink", target="x"), recorded(3), verdict(0, "failed", count=2)]


def spelled(record: object) -> bytes:
    """The written form, made without the package."""
    return json.dumps(record, separators=(",", ":")).encode()


@pytest.mark.parametrize("record", RECORDS)
def test_what_decode_takes_encode_gives_back(record: dict[str, object]) -> None:
    assert encode(decode(spelled(record))) == spelled(record)


@given(st.sampled_from(RECORDS), st.randoms(use_true_random=False))
def test_no_other_order_of_fields_is_taken(record: dict[str, object], random: Random) -> None:
    shuffled = list(record.items())
    random.shuffle(shuffled)
    if shuffled != list(record.items()):
        with pytest.raises(ValueError, match=r"canonical|missing"):
            decode(spelled(dict(shuffled)))


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize(
    "spelling", [{"indent": 1}, {"separators": (", ", ":")}, {"sort_keys": True}]
)
def test_no_other_spelling_is_taken(record: dict[str, object], spelling: dict[str, object]) -> None:
    options: dict[str, Any] = {"separators": (",", ":"), **spelling}
    other = json.dumps(record, **options)
    with pytest.raises(ValueError, match=r"canonical|missing"):
        decode(other.encode())


def test_an_event_is_written_in_the_order_of_the_document() -> None:
    event = EventRecord("recorded", 3, entries=2)
    assert encode(event) == b'{"record":"event","event":"recorded","time_ns":3,"entries":2}'
