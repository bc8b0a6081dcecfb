"""The ways to run the finalizer: as whom, over whose files."""

from pathlib import Path

from tests.crash.finalize_cases import Case
from tests.crash.finalize_scene import ids_of
from tests.crash.forkserver import SELF, ForkServer, owner
from tests.crash.sweep import Rig

# Who runs it, whose STATEDIR and temp files they are, and whose the files are to become.
RUNS = {
    "as the owner": (owner(), owner(), owner()),
    "as root for others": (SELF, SELF, owner()),
    "as root over the owner's": (SELF, owner(), owner()),
}
MINE = ["as the owner"]
"""What needs no root."""


def rig_of(
    server: ForkServer, site: Path, case: Case, run: str, mode: int, root: Path | None = None
) -> Rig:
    """The case laid out at `root` (else beside the site's file) and run once."""
    who, by, ids = RUNS[run]
    scene = case(site, ids_of(by), ids_of(ids), mode)
    return Rig(server, root or site.parent / "root", scene, who)
