"""How a transfer stands, in replies of bounded length."""

import pytest

from poststage.copier import protocol as p
from poststage.copier import status
from poststage.copier.records import REASON_MAX, OutcomeRecord
from poststage.errors import BackendError
from tests.copier.scene import Place
from tests.copier.test_queue import full_disk


def test_many_files_are_told_in_several_short_replies(place: Place) -> None:
    one = place.item(0)
    count = 3 * p.FILES_PER_REPLY
    items = [type(one)(n, one.source, f"/pfs/.{n}", 1, 1) for n in range(count)]
    book = place.started("tag", items)
    with book.changed:
        for n in range(0, count, 2):
            book.put(OutcomeRecord(n, "FAILED", "r" * 100))
        replies = list(status.replies(book, files=True))
    assert all(len(p.line_of(reply)) < p.LINE_MAX for reply in replies)
    ended = [record.index for reply in replies for record in reply.files]
    waiting = [index for reply in replies for index in reply.open]
    assert ended == list(range(0, count, 2))
    assert waiting == list(range(1, count, 2))


def test_the_longest_reasons_fit_too(place: Place) -> None:
    count = p.FILES_PER_REPLY
    one = place.item(0)
    items = [type(one)(n, one.source, f"/pfs/.{n}", 1, 1) for n in range(count)]
    book = place.started("tag", items)
    with book.changed:
        for n in range(count):
            book.put(OutcomeRecord(n, "FAILED", "r" * REASON_MAX))
        replies = list(status.replies(book, files=True))
    assert all(len(p.line_of(reply)) <= p.LINE_MAX for reply in replies)


def test_a_transfer_whose_journal_cannot_be_written_is_unknown_with_no_files(
    place: Place,
) -> None:
    book = place.started("tag", [place.item(0)])
    with book.changed:
        with full_disk(1), pytest.raises(BackendError):
            book.put(OutcomeRecord(0, "FULLSUCCESS"))
        (reply,) = status.replies(book, files=True)
    assert reply.state == "UNKNOWN"
    assert not reply.files
