"""Requests and their replies: idempotent, durable first, strict."""

import os

import pytest

from poststage.copier import protocol as p
from poststage.copier.manners import Plain
from poststage.copier.records import ItemRecord
from poststage.copier.service import Service
from poststage.copier.workers import Workers
from poststage.errors import BackendError, UsageError
from poststage.model import TransferState
from tests.copier.scene import ROOT_ID, Place

HANDLE = f"{ROOT_ID}-tag"
HELLO = p.HelloReply(p.VERSION, "test", 1, "host", 2, ROOT_ID)


@pytest.fixture
def service(place: Place) -> Service:
    """A service whose workers do not run: what is started stays in progress."""
    return Service(place.queue, Workers(Plain(), threads=1, prove_bytes=0), Plain(), HELLO)


def ask(service: Service, request: p.AnyRequest) -> list[p.AnyReply]:
    """All replies."""
    return list(service.replies(request))


def state(service: Service, handle: str = HANDLE) -> str:
    """How the transfer stands."""
    reply = ask(service, p.Status([handle]))[0]
    assert isinstance(reply, p.StatusReply)
    return reply.state


def begin(service: Service, items: list[ItemRecord]) -> None:
    """Handle, add, start."""
    ask(service, p.MakeHandle("tag"))
    ask(service, p.Add(HANDLE, 0, items))
    ask(service, p.Start(HANDLE, len(items)))


def test_another_version_of_the_protocol_is_refused(service: Service) -> None:
    assert ask(service, p.Hello()) == [HELLO]
    with pytest.raises(UsageError, match="version 2"):
        ask(service, p.Hello(version=2))


def test_files_can_be_added_in_parts_and_parts_be_repeated(service: Service, place: Place) -> None:
    items = [place.item(n) for n in range(5)]
    ask(service, p.MakeHandle("tag"))
    for first, last in [(0, 2), (0, 2), (1, 4), (4, 5), (0, 5)]:
        assert ask(service, p.Add(HANDLE, first, items[first:last])) == [p.Done()]
    assert place.queue.book(HANDLE).transfer.items == items


def test_transfers_that_wait_for_their_start_hold_no_descriptor(
    service: Service, place: Place
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        ask(service, p.MakeHandle(f"tag{number}"))
        ask(service, p.Add(f"{ROOT_ID}-tag{number}", 0, [place.item(0)]))
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_files_at_the_same_place_are_refused(service: Service, place: Place) -> None:
    ask(service, p.MakeHandle("tag"))
    ask(service, p.Add(HANDLE, 0, [place.item(0)]))
    with pytest.raises(BackendError, match="other files"):
        ask(service, p.Add(HANDLE, 0, [place.item(1)]))


def test_a_gap_is_refused(service: Service, place: Place) -> None:
    ask(service, p.MakeHandle("tag"))
    with pytest.raises(BackendError):
        ask(service, p.Add(HANDLE, 1, [place.item(0)]))


def test_a_batch_with_a_bad_item_adds_none(service: Service, place: Place) -> None:
    ask(service, p.MakeHandle("tag"))
    good = place.item(0)
    with pytest.raises(ValueError, match="plain absolute"):
        ask(service, p.Add(HANDLE, 0, [good, ItemRecord(1, "/a/../b", "/c", 0, 0)]))
    with pytest.raises(ValueError, match="twice"):
        ask(service, p.Add(HANDLE, 0, [good, good]))
    assert place.reload().book(HANDLE).transfer.items == []


def test_a_start_with_another_count_is_refused(service: Service, place: Place) -> None:
    ask(service, p.MakeHandle("tag"))
    ask(service, p.Add(HANDLE, 0, [place.item(0)]))
    with pytest.raises(BackendError, match="2 files announced, 1 there"):
        ask(service, p.Start(HANDLE, 2))
    assert state(service) == "NOTSTARTED"


def test_a_started_transfer_takes_no_more_files_but_the_same_again(
    service: Service, place: Place
) -> None:
    items = [place.item(0)]
    begin(service, items)
    begin(service, items)
    with pytest.raises(BackendError, match="has started"):
        ask(service, p.Add(HANDLE, 1, [place.item(1)]))


def test_what_is_answered_is_on_disk(service: Service, place: Place) -> None:
    ask(service, p.MakeHandle("tag"))
    assert HANDLE in place.reload().books
    begin(service, [place.item(0)])
    assert place.reload().book(HANDLE).transfer.started


def test_every_missing_directory_keeps_a_transfer_from_starting(
    service: Service, place: Place
) -> None:
    item = ItemRecord(0, "/bb/a", f"{place.targets}/missing/.a", 0, 0)
    ask(service, p.MakeHandle("tag"))
    ask(service, p.Add(HANDLE, 0, [place.item(1), item]))
    with pytest.raises(BackendError, match="missing: No such file or directory; it was not"):
        ask(service, p.Start(HANDLE, 2))
    assert state(service) == "NOTSTARTED"
    assert os.listdir(place.targets) == []


def test_a_cancel_of_a_handle_that_was_never_made_leaves_a_tombstone(
    service: Service, place: Place
) -> None:
    ask(service, p.Cancel(HANDLE))
    assert state(service) == "CANCELED"
    with pytest.raises(BackendError, match="was cancelled; it never starts"):
        begin(service, [place.item(0)])
    with pytest.raises(BackendError, match="was cancelled; it never starts"):
        ask(service, p.Start(HANDLE, 0))
    assert place.reload().book(HANDLE).transfer.end is TransferState.CANCELED


@pytest.mark.parametrize("handle", ["ffffffff-tag", "tag", f"{ROOT_ID}-"])
def test_a_handle_of_another_root_is_unknown_and_leaves_nothing(
    service: Service, place: Place, handle: str
) -> None:
    replies = ask(service, p.Cancel(handle))
    assert isinstance(replies[0], p.StatusReply)
    assert replies[0].state == "UNKNOWN"
    assert place.queue.handles() == []


def test_a_cancel_after_the_start_is_answered_when_nobody_writes(
    service: Service, place: Place
) -> None:
    begin(service, [place.item(0)])
    ask(service, p.Cancel(HANDLE))
    assert state(service) == "CANCELED"


def test_tags_are_found_if_they_are_known(service: Service) -> None:
    ask(service, p.MakeHandle("tag"))
    assert ask(service, p.Find(["tag", "other"])) == [p.FoundReply({"tag": HANDLE})]


def test_an_owner_s_request_that_is_not_known_is_refused(service: Service) -> None:
    with pytest.raises(UsageError, match="does not know"):
        ask(service, p.Control("faults"))


def test_a_list_tells_of_all_without_their_files(service: Service, place: Place) -> None:
    begin(service, [place.item(0)])
    ask(service, p.MakeHandle("other"))
    replies = [reply for reply in ask(service, p.ListAll()) if isinstance(reply, p.StatusReply)]
    assert [(reply.handle, reply.file_count) for reply in replies] == [
        (f"{ROOT_ID}-other", 0),
        (HANDLE, 1),
    ]
    assert not any(reply.open or reply.files for reply in replies)
