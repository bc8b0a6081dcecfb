"""Simulated STATEDIRs for many runs: made once, and set back instead of made again.

Making and deleting a hundred thousand files takes longer than finalizing them, and ext4 is slow
to make files where many have just been deleted.
"""

import os
from pathlib import Path

from poststage import names
from poststage.simulate import tree
from poststage.simulate.tree import MTIME_NS, Shape, lay, state_dir
from poststage.statefile import layout

__all__ = ["MTIME_NS", "Shape", "lay", "require_done", "set_back", "site", "state_dir"]


def site(into: Path) -> dict[str, str]:
    """An environment in which the backend of simulated transfers is allowed."""
    path = into / "site.toml"
    path.write_text('[site]\nbackend = "simulated"\nallowed_backends = ["simulated"]\n')
    return {**os.environ, "POSTSTAGE_SITE": str(path)}


def require_done(top: Path, shape: Shape) -> None:
    """Raise AssertionError unless every file stands with its metadata and every state is done."""
    fact = tree.wrong(top, shape)
    assert not fact, fact


def set_back(top: Path, shape: Shape) -> None:
    """A finalized tree as it was before: temp names, another mode, other times; synced."""
    for rank in range(shape.ranks):
        directory = os.fsencode(top / "dst" / str(rank))
        for index in range(shape.files):
            name = b"f%d" % index
            temp = os.path.join(directory, names.temp_name(name, f"{rank:016x}", index))
            os.rename(os.path.join(directory, name), temp)
            os.chmod(temp, 0o600)
            os.utime(temp)
    parts = os.fsencode(state_dir(top) / tree.DATASET)
    for rank in range(shape.ranks):
        state = os.path.join(parts, layout.state_path(rank, shape.ranks))
        os.rename(layout.done_name(state), state)
    Path(os.fsdecode(layout.report_name(parts))).unlink(missing_ok=True)
    os.sync()
