"""What a scheduler is to a post-stage program: values, and two questions."""

from collections.abc import Callable, Mapping
from enum import Enum

from msgspec import Struct


class Processes(Enum):
    """How it stands with a job's processes, any of which may still write."""

    GONE = "gone"
    """The scheduler says that none is left."""
    ALIVE = "alive"
    """Some may be left: the job runs, or is being ended."""
    UNKNOWN = "unknown"
    """The scheduler does not answer; never taken for gone."""


class Situation(Struct, frozen=True):
    """What the scheduler told this process of the job that it was started for."""

    scheduler: str
    job: str = ""
    """The scheduler's name for the job; "" if it told none."""
    owner: str | None = None
    """The job's owner, name or number; None if it did not tell."""
    hosts: str = ""
    """Where the job ran, as the scheduler writes it."""


class Standing(Struct, frozen=True):
    """How a job stands, as the scheduler answers now."""

    processes: Processes
    requeued: bool = False
    """It goes back to the queue and will write all its output again."""
    reason: str = ""
    """Why it is UNKNOWN or ALIVE, in words."""


class Scheduler(Struct, frozen=True):
    """One scheduler: how to read its environment, and how to ask it."""

    name: str
    situation: Callable[[Mapping[str, str]], Situation]
    """What an environment tells; never asks."""
    standing: Callable[[str], Standing]
    """Ask about a job. Never raises: no answer is UNKNOWN."""
