"""What the disk tells where no copier can be asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poststage.backends import localdisk
from poststage.copier import queue as queues
from poststage.copier.records import EndRecord, EventRecord, OutcomeRecord, Record
from poststage.model import TransferState
from tests.copier import scene
from tests.copier.conftest import place

__all__ = ["place"]  # a fixture

GOOD = OutcomeRecord(0, "FULLSUCCESS")
STOPPED, CANCELLED = EventRecord("stopped", 1), EventRecord("cancelled", 1)


def answer_of(
    place: scene.Place, *records: Record, nobody: bool = False, asked: bool = False
) -> TransferState:
    """The answer on a started transfer of one file and these records."""
    book = place.started("tag", [place.item(0)])
    place.target(0).write_bytes(b"temp")
    with book.changed:
        book.put(*records)
        book.sync()
    if asked:
        queues.ask_cancel(place.queue_fd, book.transfer.handle)
    handle = book.transfer.handle
    return localdisk.answer(place.queue_fd, handle, "host", nobody_copies=nobody).state


@pytest.mark.parametrize(
    ("records", "nobody", "asked", "state"),
    [
        ((), False, False, TransferState.INPROGRESS),
        ((), True, False, TransferState.STOPPED),
        ((), False, True, TransferState.INPROGRESS),
        ((), True, True, TransferState.CANCELED),
        ((STOPPED,), False, False, TransferState.STOPPED),
        ((STOPPED,), False, True, TransferState.CANCELED),
        ((STOPPED, EventRecord("started", 2)), False, True, TransferState.INPROGRESS),
        ((CANCELLED,), False, False, TransferState.INPROGRESS),
        ((GOOD,), False, False, TransferState.INPROGRESS),
        ((GOOD, EndRecord("FULLSUCCESS", 1)), False, False, TransferState.FULLSUCCESS),
        ((GOOD, EndRecord("FULLSUCCESS", 1)), True, True, TransferState.FULLSUCCESS),
    ],
)
def test_an_answer_is_never_better_than_what_is_known(
    place: scene.Place,
    records: tuple[Record, ...],
    nobody: bool,
    asked: bool,
    state: TransferState,
) -> None:
    assert answer_of(place, *records, nobody=nobody, asked=asked) is state


def test_a_transfer_that_was_not_started_is_cancelled_by_a_word(place: scene.Place) -> None:
    handle = place.queue.open("tag").transfer.handle
    queues.ask_cancel(place.queue_fd, handle)
    answer = localdisk.answer(place.queue_fd, handle, "host", nobody_copies=False)
    assert answer.state is TransferState.CANCELED
    assert answer.files == {}


@given(st.text())
def test_any_text_is_a_handle_or_a_value_error(text: str) -> None:
    try:
        host, own = localdisk.parse(text)
    except ValueError:
        return
    assert f"{host}:{own}" == text
    assert "/" not in text
    assert not host.startswith(".")


@pytest.mark.parametrize("text", ["h:0-t\n", "h\n:0-t", "\nh:0-t", ".h:0-t", "a/b:0-t", "h:0/t"])
def test_what_could_lead_elsewhere_is_no_handle(text: str) -> None:
    with pytest.raises(ValueError, match="is not a handle"):
        localdisk.parse(text)


@pytest.mark.parametrize("host", ["n1", "node-0.cluster.example", "a" * 64])
def test_a_handle_names_its_host(host: str) -> None:
    assert localdisk.parse(f"{host}:0000abcd-tag") == (host, "0000abcd-tag")
