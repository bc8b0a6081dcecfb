"""Records in STATEDIR/.datawarp: replaced whole, and any bytes are a value or one clear error."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.backends.datawarp_record import FOLDER, Kept, Record, Staged
from poststage.errors import BackendError

TAG = "0123456789abcdef"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    made = Kept(tmp_path, 1.0)
    with made.alone():
        pass
    return made


def test_what_was_written_is_read(kept: Kept) -> None:
    assert kept.read(TAG) is None
    record = Record(True, False, [Staged(3, "/bb/a", "/pfs/.a")])
    kept.write(TAG, record)
    assert kept.read(TAG) == record
    kept.drop(TAG)
    kept.drop(TAG)
    assert kept.read(TAG) is None


@pytest.mark.parametrize("tag", ["", "../x", "0123", TAG + "0", ".lock"])
def test_a_name_that_is_no_transfer_s_id_touches_nothing(kept: Kept, tag: str) -> None:
    assert kept.read(tag) is None
    with pytest.raises(BackendError):
        kept.write(tag, Record())


@given(raw=st.binary())
def test_any_bytes_are_a_record_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    top = tmp_path_factory.mktemp("any")
    kept = Kept(top, 1.0)
    with kept.alone():
        (top / FOLDER / TAG).write_bytes(raw)
    with suppress(BackendError):
        assert isinstance(kept.read(TAG), Record)
