"""How much of the space of attacks a run of the tests takes."""

import os

FULL = os.environ.get("POSTSTAGE_ATTACK", "") == "full"
"""`POSTSTAGE_ATTACK=full`: every point, a million races. Else a sample for `make test`."""


def budget(sample: int, full: int | None = None) -> int | None:
    """How many points to take; None for all of them."""
    return full if FULL else sample
