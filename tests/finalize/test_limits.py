"""What one process may have is asked of the system, and no more is taken."""

import resource
import threading

import pytest

from poststage.finalize.limits import descriptors, more_descriptors, startable
from tests.finalize.kernel import EVERYTHING


@pytest.mark.parametrize(("soft", "hard", "wanted"), [(64, 200, 200), (64, 9999, 4096)])
def test_there_may_be_as_many_descriptors_as_are_allowed(soft: int, hard: int, wanted: int) -> None:
    def asks() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert descriptors() == soft
        more_descriptors()
        assert descriptors() == wanted

    assert EVERYTHING.run(asks)


def test_no_descriptor_is_given_back() -> None:
    def asks() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 6000))
        more_descriptors()
        assert descriptors() == 5000

    assert EVERYTHING.run(asks)


def test_no_thread_is_left_behind_by_the_question() -> None:
    before = set(threading.enumerate())
    assert [startable(threads) for threads in (0, 1, 2, 40)] == [1, 1, 2, 40]
    assert set(threading.enumerate()) <= before


def test_where_no_thread_can_be_started_there_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> None:
        del thread
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert startable(64) == 1
