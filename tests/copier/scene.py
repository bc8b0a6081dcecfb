"""A queue in a directory, files to copy, and records that fit them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from poststage import names
from poststage.copier.manners import Plain
from poststage.copier.queue import Book, Queue
from poststage.copier.records import EventRecord, ItemRecord

ROOT_ID = "0000abcd"
DEADLINE_S = 30.0


class Gate(Plain):
    """Manners that hold every piece back until the gate is opened."""

    def __init__(self, *, waits_for_sources: bool = False) -> None:
        super().__init__()
        self.waits_for_sources = waits_for_sources
        self.reached, self.opened = threading.Event(), threading.Event()

    def piece(self, item: ItemRecord, position: int, offset: int, want: int) -> tuple[int, float]:
        """Wait at the gate."""
        self.reached.set()
        assert self.opened.wait(DEADLINE_S)
        return super().piece(item, position, offset, want)


class Place:
    """A folder with sources, destinations and a queue."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.targets = folder / "bb", folder / "pfs"
        self.queue_dir = folder / "queue"
        for made in (self.sources, self.targets, self.queue_dir):
            made.mkdir()
        self.queue_fd = os.open(self.queue_dir, os.O_RDONLY)
        self.queue = self.reload()

    def reload(self) -> Queue:
        """The queue as a daemon finds it that starts now."""
        self.queue = Queue(self.queue_fd, ROOT_ID)
        self.queue.load()
        return self.queue

    def item(self, index: int, content: bytes = b"content") -> ItemRecord:
        """A source with `content`, and the record that copies it."""
        source = self.sources / str(index)
        source.write_bytes(content)
        info = source.stat()
        return ItemRecord(
            index,
            names.to_text(os.fsencode(source)),
            names.to_text(os.fsencode(self.target(index))),
            info.st_size,
            info.st_mtime_ns,
        )

    def target(self, index: int) -> Path:
        """The temp file of item `index`."""
        return self.targets / f".{index}"

    def started(self, tag: str, items: list[ItemRecord]) -> Book:
        """The book of a transfer that was started, though nobody copies it yet."""
        book = self.queue.open(tag)
        with book.changed:
            book.put(*items, EventRecord("started", 1, len(items)))
            book.sync()
        return book


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A place whose queue is closed at the end."""
    made = Place(folder)
    yield made
    os.close(made.queue_fd)


def until(book: Book, condition: Callable[[], bool]) -> None:
    """Wait for the condition, which a thread brings about that tells `book.changed`."""
    with book.changed:
        assert book.changed.wait_for(condition, DEADLINE_S)
