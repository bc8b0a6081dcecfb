"""Whether a STATEDIR has a dataset of a name that somebody typed."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from poststage.cli.survey import groups, open_state_dir, read_group
from poststage.errors import UsageError
from poststage.names import shown


def require_dataset(state_dir: Path, dataset: str | None) -> None:
    """Return if `dataset` has a state file there, open or set aside; or is None.

    Raises:
        UsageError: it has none; the hint has the nearest name.
    """
    if dataset is None:
        return
    names = list(_names(state_dir))
    if dataset in names:
        return
    near = difflib.get_close_matches(dataset, names, n=1)
    raise UsageError(
        f"dataset {shown(dataset)}: there is none of that name; nothing was changed",
        hint=f"did you mean {near[0]}?" if near else "`poststage status` lists them",
    )


def _names(state_dir: Path) -> Iterator[str]:
    """The names that state files say, or their directory where none can be read."""
    with open_state_dir(state_dir) as fd:
        for group, refused in groups(state_dir):
            said = {} if refused else {part.dataset for part in read_group(fd, group)} - {""}
            yield from said or [os.fsdecode(group.directory)]
