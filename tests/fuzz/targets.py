"""What is fuzzed: each reader of bytes that others write, as a function that only a bug lets raise.

Any bytes give a value or the one error that the reader promises, in words for a terminal. A value
is written and read again as the same. Where a checksum guards the bytes it is made right first:
behind it lies the code that a forger reaches.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from poststage.copier import protocol
from poststage.durable import journal
from poststage.errors import StateFileError
from poststage.model import State
from poststage.scr import trees
from poststage.scr.datasets import pending
from poststage.statefile import axl, kvtree, read_state
from poststage.statefile.kvtree import Tree
from poststage.statefile.value import value_of

Target = Callable[[bytes], None]


def state_file(data: bytes) -> None:
    """A state file, byte for byte."""
    with _promised():
        state = _read_state(data)
        if state is not None:
            json.dumps(value_of(state))


def state_records(data: bytes) -> None:
    """A state file of these lines, each with the checksum that is right for it."""
    state_file(b"".join(journal.frame(line) for line in data.split(b"\n")))


def kvtree_file(data: bytes) -> None:
    """A KVTree file, byte for byte."""
    with _promised():
        tree = kvtree.parse(data)
        assert kvtree.parse(kvtree.build(tree)) == tree


def axl_file(data: bytes) -> None:
    """A KVTree file around this tree, read as AXL's record."""
    with _promised():
        json.dumps(value_of(axl.state_of(_tree(data), id_="0" * 16, created_ns=1)))


def scr_files(data: bytes) -> None:
    """SCR's flush file and index, and what is written in their place after each verdict."""
    with _promised():
        half = int.from_bytes(data[:2], "big")
        flush, index = _tree(data[2 : 2 + half]), _tree(data[2 + half :])
        for dataset in pending(flush, index, range(4)):
            after = trees.completed(index, dataset, b"now")
            assert trees.completed(after, dataset, b"later") == after
            assert kvtree.parse(kvtree.build(trees.failed(after, dataset, b"now")))
            assert kvtree.parse(kvtree.build(trees.summary(dataset)))
            trees.without(trees.stopped(flush, dataset.id), dataset.id)


def requests(data: bytes) -> None:
    """A line that a client sends to the daemon."""
    with _promised():
        request = protocol.request_of(data)
        assert protocol.request_of(protocol.line_of(request)) == request


def replies(data: bytes) -> None:
    """A line that the daemon sends back."""
    with _promised():
        reply = protocol.reply_of(data)
        assert protocol.reply_of(protocol.line_of(reply)) == reply


TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        state_file, state_records, kvtree_file, axl_file, scr_files, requests, replies,
    )
}  # fmt: skip


@contextmanager
def _promised() -> Iterator[None]:
    """Lets the promised errors through in silence, if they can be shown on a terminal."""
    try:
        yield
    except StateFileError as error:
        if not error.message.isprintable() or len(error.message) > 2000:
            raise
    except ValueError:
        pass


def _read_state(data: bytes) -> State | None:
    fd = os.memfd_create("state")
    try:
        os.write(fd, data)
        return read_state(fd, b"x.state")
    finally:
        os.close(fd)


def _tree(body: bytes) -> Tree:
    """What is read of a file around `body`."""
    head = struct.pack(">4sHHQI", kvtree.MAGIC, 1, 1, len(body) + 24, 1) + body
    return kvtree.parse(head + struct.pack(">I", zlib.crc32(head)))
