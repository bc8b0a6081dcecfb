"""State files: one transfer of one part of a dataset; see docs/state-file-format.md."""

from poststage.statefile.reader import read_state
from poststage.statefile.writer import StateWriter

__all__ = ["StateWriter", "read_state"]
