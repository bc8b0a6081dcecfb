"""How much of the space of attacks a run of the tests takes."""

import os

LEVEL = os.environ.get("POSTSTAGE_ATTACK", os.environ.get("POSTSTAGE_CRASH", ""))
"""`POSTSTAGE_ATTACK`, else as the crash harnesses: `ci` more than `make test`, `full` all."""
FULL = LEVEL == "full"


def budget(sample: int, ci: int) -> int | None:
    """How many points to take; None for all of them."""
    return None if FULL else ci if LEVEL == "ci" else sample
