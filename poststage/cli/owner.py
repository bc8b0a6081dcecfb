"""As root, a command that reads what users wrote becomes the owner of it first, for good."""

import os
from pathlib import Path

from poststage.config import Settings
from poststage.errors import PermissionRefusedError
from poststage.finalize.privs import become, owner_of

# What is imported late has to be readable also afterwards: our package and Python's own.
_NEEDED = (Path(__file__).parent, Path(os.__file__).parent)


def become_owner(state_dir: Path, settings: Settings, *, user: str | None = None) -> None:
    """Give up root for `user`, else the owner of `state_dir`; nothing happens to a plain user.

    Root stays root where only root can write: what stands there, root wrote.

    Raises:
        PermissionRefusedError: the directory is root's and others can write it, or the owner
            cannot read this program.
        UsageError: `state_dir` cannot be opened.
    """
    owner = owner_of(os.fsencode(state_dir), user, settings.trusted_state_dirs)
    if owner is None or owner.trusted:
        return
    become(owner)
    for path in _NEEDED:
        if not os.access(path, os.R_OK | os.X_OK):
            raise PermissionRefusedError(
                f"{path}: cannot be read by {owner.name}, whose state files are to be read; "
                "nothing was touched",
                hint="install poststage where every user can read it, or run this as that user",
            )
