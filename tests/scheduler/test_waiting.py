"""Waiting for a job's processes: until somebody says that they are gone, and no longer."""

from collections.abc import Iterator

import pytest

from poststage.errors import RunAgainError
from poststage.scheduler import load
from poststage.scheduler.base import Processes, Scheduler, Situation, Standing
from poststage.scheduler.waiting import settled

ALIVE = Standing(Processes.ALIVE, reason="it is COMPLETING")
UNKNOWN = Standing(Processes.UNKNOWN, reason="squeue: no answer")
GONE = Standing(Processes.GONE)


def saying(*standings: Standing) -> Scheduler:
    """A scheduler that answers so, one after the other, and for ever the last."""

    def answers() -> Iterator[Standing]:
        yield from standings
        while True:
            yield standings[-1]

    told = answers()
    return Scheduler("test", lambda env: Situation("test"), lambda job: next(told))


def for_so_long(*left: float) -> Iterator[float]:
    yield from left
    while True:
        yield 0.0


def test_it_ends_when_the_scheduler_says_that_they_are_gone() -> None:
    heard: list[str] = []
    scheduler = saying(ALIVE, UNKNOWN, UNKNOWN, GONE)
    assert settled(scheduler, "12", lambda: 0.001, heard.append) is GONE
    assert heard == [
        "job 12: its processes may still write (it is COMPLETING); waiting",
        "job 12: test does not say whether its processes are gone (squeue: no answer); waiting",
    ]


@pytest.mark.parametrize("standing", [ALIVE, UNKNOWN])
def test_when_the_time_is_over_nothing_was_touched(standing: Standing) -> None:
    left = for_so_long(0.001, 0.001)
    with pytest.raises(RunAgainError, match="nothing was touched") as caught:
        settled(saying(standing), "12\x1b", lambda: next(left), lambda words: None)
    assert "\x1b" not in caught.value.message


def test_the_names_in_the_settings_are_the_schedulers_that_there_are() -> None:
    from poststage.config import SCHEDULERS

    for name in SCHEDULERS:
        scheduler = load(name)
        assert (scheduler is None) is (name == "none")
