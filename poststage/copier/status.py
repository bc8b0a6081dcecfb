"""Book → status replies: how a transfer stands, in lines of bounded length."""

from collections.abc import Iterator

from msgspec.structs import replace

from poststage.copier import protocol as p
from poststage.copier.queue import Book
from poststage.errors import BackendError
from poststage.model import TransferState


def replies(book: Book, *, files: bool) -> Iterator[p.StatusReply]:
    """The replies that tell of `book`; what they say is durable. Holds `book.changed`.

    A transfer whose journal cannot be written is UNKNOWN, without its files.
    """
    transfer = book.transfer
    try:
        book.sync()
    except BackendError as error:
        yield p.StatusReply(transfer.handle, TransferState.UNKNOWN.value, str(error))
        return
    head = p.StatusReply(
        transfer.handle,
        transfer.state.value,
        _reason(book),
        transfer.bytes_done(book.live),
        len(transfer.items),
        sum(item.size for item in transfer.items),
    )
    yield head
    if files:
        yield from _files(head, book)


def _reason(book: Book) -> str:
    if book.transfer.cancelled and book.transfer.end is None:
        return "is being cancelled; a thread still writes"
    return book.parked


def _files(head: p.StatusReply, book: Book) -> Iterator[p.StatusReply]:
    step = p.FILES_PER_REPLY
    ended = list(book.transfer.outcomes.values())
    for first in range(0, len(ended), step):
        yield replace(head, files=ended[first : first + step])
    waiting = [item.index for item in book.transfer.open_items()]
    for first in range(0, len(waiting), step):
        yield replace(head, open=waiting[first : first + step])
