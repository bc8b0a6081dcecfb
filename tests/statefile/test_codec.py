"""Texts and reasons between the model and the records; the rules are in the vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.model import Verdict
from poststage.statefile import codec
from poststage.statefile.records import REASON_MAX, VerdictRecord, decode, encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXTS, st.integers(1, 300))
def test_a_reason_of_any_length_and_alphabet_is_one_that_the_reader_takes(
    text: str, times: int
) -> None:
    record = VerdictRecord(0, "failed", 1, reason=codec.reason_text(text * times))
    assert len(record.reason) <= REASON_MAX
    taken = decode(encode(record))
    assert isinstance(taken, VerdictRecord)
    ended = codec.ended_of(taken)
    assert ended.verdict is Verdict.FAILED
    whole, kept = (text * times).encode(), ended.reason.encode("utf-8", "surrogateescape")
    assert whole.startswith(kept)
    assert kept == whole or len(kept) >= REASON_MAX // 3


@pytest.mark.parametrize("text", ["\U0001f600" * 3000, "\n" * 9000, "\udcff" * 5000])
def test_a_reason_that_is_too_long_is_cut_and_not_refused(text: str) -> None:
    assert REASON_MAX - 3 <= len(codec.reason_text(text)) <= REASON_MAX
