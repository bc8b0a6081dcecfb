"""What the last run of finalize said of a dataset, as far as it still holds. Reads only."""

import os
from pathlib import Path

from poststage.finalize import records
from poststage.finalize.report import DatasetReport
from poststage.finalize.scan import Group
from poststage.model import Verdict
from poststage.names import from_text, split
from poststage.statefile.layout import report_name

_ENDED = frozenset(
    {Verdict.PUBLISHED.value, Verdict.FAILED.value, Verdict.CONFLICT.value, Verdict.LOST.value}
)


def last_word(state_dir: Path, group: Group) -> DatasetReport | None:
    """The report of `group`; None if there is none, or a state file was written after it."""
    top = os.fsencode(state_dir)
    found = records.read(state_dir, group.directory)
    if found is None:
        return None
    try:
        told_ns = os.lstat(os.path.join(top, report_name(group.directory))).st_mtime_ns
        below = os.path.join(top, group.directory)
        written = [os.lstat(os.path.join(below, name)).st_mtime_ns for name in group.pending]
    except OSError:
        return None
    return found if all(at <= told_ns for at in written) else None


def lost(word: DatasetReport | None) -> int:
    """How many entries are lost, if nothing else is open: nothing runs, nothing is unknown."""
    if word is None or not {*word.files, *(one.verdict for one in word.problems)} <= _ENDED:
        return 0
    return word.files.get(Verdict.LOST.value, 0)


def left_behind(word: DatasetReport) -> list[bytes]:
    """The temp files of what is lost that are still there; of those that the report lists."""
    paths = (
        os.path.join(split(from_text(one.destination))[0], from_text(one.temp))
        for one in word.problems
        if one.verdict == Verdict.LOST.value and one.destination and one.temp
    )
    return [path for path in paths if os.path.lexists(path)]
