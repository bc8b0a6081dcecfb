"""Open state files of AXL's, for commands that ask backends: there is none to ask of these."""

import os
from pathlib import Path

from poststage.cli.common import print_error, say
from poststage.cli.survey import Part, groups, open_below, open_state_dir, read_part
from poststage.errors import ExitCode
from poststage.finalize.scan import Group
from poststage.names import shown
from poststage.statefile.layout import STATE_SUFFIX


def tell(state_dir: Path, dataset: str | None) -> set[ExitCode]:
    """Name each on stderr (of `dataset`); the exit codes: 75 while one is open, 65 for damage.

    Nobody can say how its transfer stands but the library that runs it, nor stop it.
    """
    codes: set[ExitCode] = set()
    with open_state_dir(state_dir) as fd:
        for group, _ in groups(state_dir):
            for part in _parts(fd, group):
                if dataset is None or part.dataset == dataset or part.damage:
                    codes |= _told(os.path.join(group.directory, part.name), part)
    return codes


def _parts(state_dir_fd: int, group: Group) -> list[Part]:
    theirs = [name for name in group.pending if not name.endswith(STATE_SUFFIX)]
    if not theirs:
        return []
    try:
        fd = open_below(state_dir_fd, group.directory)
    except OSError:
        return []  # it has gone since it was listed
    try:
        return [read_part(fd, name) for name in theirs]
    finally:
        os.close(fd)


def _told(path: bytes, part: Part) -> set[ExitCode]:
    if part.damage:
        print_error(f"state file {shown(path)}: {part.damage}; it was left alone", "")
        return {ExitCode.DATA if part.damaged else ExitCode.PERMISSION}
    if part.closed:
        return set()
    say(f"{shown(path)}: AXL's, which has nobody to ask; `finalize` judges it by its files")
    return {ExitCode.RUN_AGAIN}
