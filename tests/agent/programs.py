"""What the kill tests run: one agent handing a tree over to the stub vendor."""

import os
import sys
from pathlib import Path

from poststage.agent import open_agent
from poststage.cli.main import finalize_main
from poststage.errors import PoststageError
from tests.crash import vendor as stub

DATASET = "set"


def lay(root: Path) -> None:
    """A fresh scene below `root`: a source tree, a destination, a vendor inside as well."""
    root.mkdir()
    (root / "bb/sub").mkdir(parents=True)
    (root / "pfs").mkdir()
    for name in ("a", "sub/b", "sub/c"):
        (root / "bb" / name).write_text(name)
    os.link(root / "bb/a", root / "bb/sub/hard")
    (root / "bb/soft").symlink_to("a")
    stub.install(root / "vendor")


def hand_over(root: str) -> int:
    """Hand the tree over; the exit code of what went wrong, 0 for nothing."""
    top = Path(root)
    os.environ["POSTSTAGE_SITE"] = str(top / "vendor/site.toml")
    sys.path.insert(0, str(top / "vendor/site-packages"))
    try:
        with open_agent(top / "state") as agent, agent.transfer(DATASET) as transfer:
            transfer.add_tree(top / "bb", top / "pfs/new/tree")
    except PoststageError as error:
        print(error)
        return int(error.exit_code)
    return 0


def finalize(root: str, state_dir: str, site: str) -> None:
    """The real command, once, with the scene's vendor; never returns."""
    sys.path.insert(0, str(Path(root) / "vendor/site-packages"))
    finalize_main(["--dir", state_dir, "--site", site, "--no-wait"])
