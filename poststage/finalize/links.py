"""Further hard links of files, made when the files have their names."""

import os
from contextlib import suppress

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import trust
from poststage.finalize.conflict import step_aside
from poststage.finalize.observe import find_aside, stamp
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.place import CHANGING
from poststage.finalize.prepare import HELD_BACK, made_later
from poststage.finalize.seen import Fate, Seen, facts_of, is_prior
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Verdict

HAS_A_NAME = frozenset({Verdict.PUBLISHED, Verdict.CONFLICT})
"""How a file can have ended that is to have further names: it stands under one."""


def make_link(job: Job, entry: Entry, work: Work) -> Outcome:
    """Give the file that `entry` is a further name of that name.

    Link under the temp name, then rename: the destination is never absent in between. Durable
    once its directory is synced.
    """
    waits = made_later(job)
    if waits is not None:
        return waits
    if work.hold:
        return outcome(Verdict.RUNNING, HELD_BACK)
    assert entry.link_to is not None  # the reader guarantees it
    base = job.verdict(entry.link_to)
    if base not in HAS_A_NAME:
        return without_base(base)
    try:
        return _linked(job.state.entries[entry.link_to], entry, job, work)
    except (OSError, PoststageError) as error:
        return refused("making the hard link", error)


def without_base(base: Verdict | None) -> Outcome:
    """The outcome of a further name of a file that ended as `base`: it has no name itself."""
    reason = "the file that it is a further name of was not published"
    return outcome(Verdict.FAILED if base and base.final else Verdict.RUNNING, reason)


def _linked(base: Entry, entry: Entry, job: Job, work: Work) -> Outcome:
    base_dir, base_name = names.split(base.destination)
    directory, name = names.split(entry.destination)
    base_fd, dir_fd = work.dirs.fd(base_dir), work.dirs.fd(directory)
    if work.restore_owners:
        trust.check_link(os.fstat(base_fd), os.fstat(dir_fd))
    base_name = _standing(base, base_fd, base_name, job)
    origin, there = fsops.facts(base_fd, base_name), fsops.facts(dir_fd, name)
    if origin is None or not _is_file_of(origin, base):
        return outcome(Verdict.LOST, "the file that it is a further name of has gone or changed")
    with suppress(FileNotFoundError):
        fsops.unlink(dir_fd, entry.temp)  # of an earlier run; a name of this file, or of none
    if there is not None and os.path.samestat(there, origin):
        return outcome(Verdict.PUBLISHED)
    fsops.link(base_fd, base_name, dir_fd, entry.temp)
    if there is not None and is_prior(facts_of(there), entry.prior):
        fsops.replace(dir_fd, entry.temp, name)
        return outcome(Verdict.PUBLISHED, changed=True)
    try:
        fsops.publish(dir_fd, entry.temp, name)
    except FileExistsError:
        if fsops.facts(dir_fd, name) is None:
            return CHANGING
        aside = step_aside(dir_fd, entry.temp, name, stamp(job.state.head.created_ns))
        reason = f"its destination is taken; the further name is {names.shown(aside)}"
        return outcome(Verdict.CONFLICT, reason, changed=True)
    return outcome(Verdict.PUBLISHED, changed=True)


def _standing(base: Entry, dir_fd: int, name: bytes, job: Job) -> bytes:
    """The name under which the file of `base` stands: its own, or what a conflict gave it."""
    info = fsops.facts(dir_fd, name)
    if info is not None and _is_file_of(info, base):
        return name
    seen = Seen(base, Fate.DONE)
    return find_aside(seen, dir_fd, name, None, job.state.head.created_ns)[0] or name


def _is_file_of(info: os.stat_result, base: Entry) -> bool:
    """Whether the file published as `base` still stands there, as far as its contents go."""
    same = (info.st_size, info.st_mtime_ns) == (base.meta.size, base.meta.mtime_ns)
    return fsops.is_regular(info) and same
