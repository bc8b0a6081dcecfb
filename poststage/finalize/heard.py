"""What a worker tells its parent: numbers on the way, and one bounded report at the end."""

import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from poststage.finalize.options import Waits

_REPORT_MAX = 256 << 20
_NUMBER = 8  # bytes


class Pipes(NamedTuple):
    """The ends of the worker's pipes that its parent reads."""

    report: int
    waits: int
    hear: Waits


def received(pipes: Pipes, left: Callable[[], float]) -> bytes:
    """What the worker wrote, whole; nothing of it if that took too long."""
    received = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipes.report, selectors.EVENT_READ)
        selector.register(pipes.waits, selectors.EVENT_READ)
        while left() > 0 and len(received) < _REPORT_MAX:
            ready = {key.fd for key, _ in selector.select(left())}
            if pipes.waits in ready and not _hear(pipes):
                selector.unregister(pipes.waits)
            if pipes.report in ready:
                piece = os.read(pipes.report, 1 << 20)
                if not piece:
                    return bytes(received)
                received += piece
    return b""


def saying(said: int) -> Waits:
    """Numbers, of one length, to the parent; one that it has no room for is not missed."""

    pipe = os.fdopen(said, "wb", buffering=0, closefd=False)

    def say(count: int) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            pipe.write(count.to_bytes(_NUMBER, signed=True))

    return say


def _hear(pipes: Pipes) -> bool:
    """Hand the last number on; False if no more can come."""
    piece = os.read(pipes.waits, _NUMBER * 1000)
    if piece:
        pipes.hear(int.from_bytes(piece[-_NUMBER:], signed=True))
    return bool(piece)
