"""The ways to run the finalizer: as whom, over whose files."""

from pathlib import Path

from msgspec.structs import replace

from tests.crash import trees
from tests.crash.finalize_cases import Case, publish
from tests.crash.finalize_scene import ids_of
from tests.crash.forkserver import SELF, ForkServer, Job, owner
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
    server: ForkServer,
    site: Path,
    case: Case,
    run: str,
    mode: int,
    root: Path | None = None,
    target: str = "tests.crash.programs:work",
) -> Rig:
    """The case laid out at `root` (else beside the site's file) and run once."""
    who, by, ids = RUNS[run]
    scene = replace(case(site, ids_of(by), ids_of(ids), mode), target=target)
    return Rig(server, root or site.parent / "root", scene, who)


def warm(server: ForkServer, site: Path) -> None:
    """Let the server finalize something itself, so that each run in a child of it is faster."""
    root, ours = site.parent / "warm", ids_of(SELF)
    (site.parent / "ledger").mkdir(exist_ok=True)
    scene = publish(site, ours, ours, 0o640)
    scene.lay(root)
    server.warm(Job("tests.crash.programs:warm", scene.arguments(root)))
    trees.clear(root)
