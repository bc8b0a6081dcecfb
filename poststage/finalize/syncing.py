"""Syncing one file by itself, to learn whose error it is that a file system has reported."""

import os
from contextlib import suppress

from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import metadata
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.model import Verdict


def not_synced(error: OSError) -> Outcome:
    """What comes of a file whose fsync failed, for good: what is on the disk is unknown from
    then on, and a later sync that succeeds says nothing about the lost write."""
    reason = f"fsync: {error.strerror}; what the disk holds is unknown; the temp file is kept"
    return outcome(Verdict.FAILED, reason)


def sync_alone(dir_fd: int, temp: bytes) -> Outcome | None:
    """fsync one temp file after its filesystem reported an error; None if it is durable."""
    try:
        fd = metadata.open_for_fsync(dir_fd, temp)
    except (OSError, PoststageError) as error:
        return refused("opening it for fsync", error)
    try:
        fsops.sync(fd)
    except OSError as error:
        return not_synced(error)
    finally:
        with suppress(OSError):  # what close says is older than what fsync has said
            os.close(fd)
    return None
