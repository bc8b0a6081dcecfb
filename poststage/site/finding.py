"""One thing that a check found."""

from enum import Enum

from msgspec import Struct


class Level(Enum):
    """How it is."""

    FINE = "fine"
    NOTE = "note"
    """It works, less well than it could, or could not be looked at from here."""
    WRONG = "wrong"
    """Files would not be finalized."""


class Finding(Struct, frozen=True):
    """What was looked at, how it is, and what to do where it is not fine."""

    level: Level
    what: str
    fact: str
    advice: str = ""


def fine(what: str, fact: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.FINE, what, fact)


def note(what: str, fact: str, advice: str) -> Finding:
    """Something to know."""
    return Finding(Level.NOTE, what, fact, advice)


def wrong(what: str, fact: str, advice: str) -> Finding:
    """Something to mend."""
    return Finding(Level.WRONG, what, fact, advice)
