"""What a worker says on its way arrives, and never delays or damages its report."""

import os

from poststage.finalize.heard import Pipes, received, saying
from poststage.finalize.work import deadline


def test_the_last_number_is_heard_and_the_report_is_whole() -> None:
    (read, write), (heard, said) = os.pipe(), os.pipe2(os.O_NONBLOCK)
    numbers: list[int] = []
    for count in (5, 4, -1, 0):
        saying(said)(count)
    os.write(write, b"report")
    os.close(said)
    os.close(write)
    assert received(Pipes(read, heard, numbers.append), deadline(10)) == b"report"
    assert numbers == [0]
    os.close(read)
    os.close(heard)


def test_a_parent_that_does_not_listen_stops_no_worker() -> None:
    heard, said = os.pipe2(os.O_NONBLOCK)
    for count in range(20_000):  # more than a pipe holds
        saying(said)(count)
    os.close(heard)
    saying(said)(0)
    os.close(said)


def test_a_worker_that_says_nothing_in_time_has_no_report() -> None:
    (read, write), (heard, said) = os.pipe(), os.pipe()
    assert received(Pipes(read, heard, lambda count: None), deadline(0.1)) == b""
    for fd in (read, write, heard, said):
        os.close(fd)
