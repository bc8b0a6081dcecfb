"""Writes the test vectors of docs/state-file-format.md: NAME.state and NAME.json beside this file.

Nothing of the package is used: what its own writer gets wrong shows here. An expected
value is the value, null where no record is whole, or {"error": "line N", "why": …}.

    python -m tests.vectors.make [DIRECTORY]
"""

import json
import sys
from pathlib import Path

from tests.vectors import bad, good
from tests.vectors.words import Json, Vectors


def vectors() -> dict[str, tuple[bytes, Json | None]]:
    """Every vector: name → (content, expected value)."""
    to = Vectors()
    for part in (good.transfers, good.entries, good.verdicts, good.tails):
        part(to)
    for part in (bad.damage, bad.order, bad.heads, bad.events, bad.entries, bad.spellings):
        part(to)
    return to.all


def main(directory: Path) -> None:
    """Write every vector into `directory`."""
    for name, (content, expected) in vectors().items():
        (directory / f"{name}.state").write_bytes(content)
        text = json.dumps(expected, indent=1, sort_keys=True) + "\n"
        (directory / f"{name}.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
