"""Moved files: their sources are deleted, when what was published of them is durable.

A source is deleted only if it is the recorded one and every destination that this transfer
has for it stands there as recorded. So a kill anywhere leaves at least one complete copy.
"""

import os
import stat
from collections import defaultdict

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Kind, Verdict


def drop_sources(jobs: list[Job], work: Work) -> None:
    """Delete the sources of what is published of those of `jobs` that were to be moved.

    One that cannot be deleted takes the verdict "published" away until the next run.
    """
    for job in jobs:
        if job.state.head.move and job.state.foreign is None and not work.hold:
            for indexes in _sources(job).values():
                _drop(job, indexes, work)


def _sources(job: Job) -> dict[bytes, list[int]]:
    """Source → its entries, where all of them are published."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for index, entry in enumerate(job.state.entries):
        if entry.kind is not Kind.DIRECTORY:
            found[entry.source].append(index)
    published = Verdict.PUBLISHED
    return {
        source: indexes
        for source, indexes in found.items()
        if all(job.verdict(index) is published for index in indexes)
    }


def _drop(job: Job, indexes: list[int], work: Work) -> None:
    if work.stopped():
        result: Outcome | None = outcome(
            Verdict.RUNNING, "published; its source is still to delete"
        )
    else:
        try:
            result = _dropped([job.state.entries[index] for index in indexes], work)
        except (OSError, PoststageError) as error:
            result = refused("published; deleting its source", error)
    if result is not None:
        job.outcomes.update(dict.fromkeys(indexes, result))


def _dropped(entries: list[Entry], work: Work) -> Outcome | None:
    """Delete the one source of `entries`; None if it is gone, or not ours to delete any more."""
    directory, name = names.split(entries[0].source)
    try:
        fd = work.dirs.fd(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None  # deleted with its directory, or on a node that cannot be reached from here
    source = fsops.facts(fd, name)
    if source is None or not _is_recorded(source, entries[0]):
        return None
    if not all(_stands(entry, source, work) for entry in entries):
        return None
    fsops.unlink(fd, name)
    return outcome(Verdict.PUBLISHED, changed=True)


def _stands(entry: Entry, source: os.stat_result, work: Work) -> bool:
    """Whether the destination is a copy of its own, as recorded."""
    directory, name = names.split(entry.destination)
    there = fsops.facts(work.dirs.fd(directory), name)
    if there is None or os.path.samestat(there, source):
        return False
    return _is_recorded(there, entry)


def _is_recorded(info: os.stat_result, entry: Entry) -> bool:
    """Whether nobody has changed it since it was recorded, as far as size and mtime tell."""
    kind = stat.S_IFLNK if entry.kind is Kind.SYMLINK else stat.S_IFREG
    if stat.S_IFMT(info.st_mode) != kind or info.st_mtime_ns != entry.meta.mtime_ns:
        return False
    return entry.kind is Kind.SYMLINK or info.st_size == entry.meta.size
