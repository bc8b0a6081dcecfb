"""First half of apply for a symlink: made here, from the record, under its temp name.

No backend ever writes a symlink, so it can be made again at any time; what else stands at
its names is kept as for a file.
"""

import os
from contextlib import nullcontext

from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import observe, trust
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.plan import CONFLICT, Action, Plan, displaced, placed, stepped_aside
from poststage.finalize.prepare import HELD_BACK, made_later
from poststage.finalize.seen import Facts, Seen, facts_of, is_prior
from poststage.finalize.work import Job, Step, Work
from poststage.model import Entry, Verdict


def prepare_symlink(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    """The step that is left for a SYMLINK entry, or its outcome if none is."""
    waits = made_later(job)
    if waits is not None:
        return waits
    if work.hold:
        return outcome(Verdict.RUNNING, HELD_BACK)
    try:
        return _prepared(job, index, entry, work)
    except (OSError, PoststageError) as error:
        return refused("making the symlink", error)


def _prepared(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    directory, name = names.split(entry.destination)
    dir_fd = work.dirs.fd(directory)
    created_ns = job.state.head.created_ns
    seen, fd = observe.look(job.seen(index, entry), dir_fd, created_ns=created_ns, full=True)
    if fd >= 0:
        os.close(fd)
    plan = _of_earlier_run(seen, dir_fd, name, created_ns)
    if plan is not None:
        return Step(job, index, seen, plan, directory)
    if seen.temp is not None and not seen.temp.symlink:
        reason = "the temp name is not a symlink; it is kept untouched"
        return outcome(Verdict.LOST, reason)
    _make(dir_fd, entry, seen.temp, as_root=work.restore_owners)
    _restore(dir_fd, entry, as_root=work.restore_owners)
    there = os.stat(entry.temp, dir_fd=dir_fd, follow_symlinks=False)
    seen = replace(seen, temp=facts_of(there))
    return Step(job, index, seen, placed(seen), directory, changed=True)


def _of_earlier_run(seen: Seen, dir_fd: int, name: bytes, created_ns: int) -> Plan | None:
    """What is left where an earlier run has given the symlink its name or its conflict name."""
    entry, temp = seen.entry, seen.temp
    if _stands(dir_fd, name, entry):
        if temp is None:
            return _left_alone(seen)
        if is_prior(temp, entry.prior):
            return Plan(Action.DROP_PRIOR, Verdict.PUBLISHED)
        if _same(temp, seen.destination):
            return Plan(Action.DROP_TEMP, Verdict.PUBLISHED)
        return Plan(Action.SET_ASIDE, Verdict.CONFLICT, CONFLICT)
    aside = names.conflict_name(name, observe.stamp(created_ns), 0)
    if _stands(dir_fd, aside, entry):
        action = Action.DROP_TEMP if temp and _same(temp, seen.aside) else Action.NONE
        return Plan(action, Verdict.CONFLICT, stepped_aside(CONFLICT, aside))
    return None


def _left_alone(seen: Seen) -> Plan:
    """The symlink has its name; what it displaced, if anything, has a conflict name."""
    if seen.aside is None:
        return Plan(Action.NONE, Verdict.PUBLISHED)
    return Plan(Action.NONE, Verdict.CONFLICT, displaced(CONFLICT, seen.aside_name))


def _make(dir_fd: int, entry: Entry, temp: Facts | None, *, as_root: bool) -> None:
    """The symlink under its temp name; one with another target makes way for it."""
    assert entry.target is not None  # the reader guarantees it
    if temp is not None:
        if os.readlink(entry.temp, dir_fd=dir_fd) == entry.target:
            return
        fsops.unlink(dir_fd, entry.temp)
    with trust.making_for(entry.meta, os.fstat(dir_fd)) if as_root else nullcontext():
        fsops.symlink(entry.target, dir_fd, entry.temp)


def _stands(dir_fd: int, name: bytes, entry: Entry) -> bool:
    """Whether `name` is the recorded symlink: target and mtime."""
    info = fsops.facts(dir_fd, name)
    if info is None or not fsops.is_symlink(info) or info.st_mtime_ns != entry.meta.mtime_ns:
        return False
    with fsops.opened_link(dir_fd, name) as fd:
        fits = os.readlink(b"", dir_fd=fd) == entry.target
        if fits:  # readlink has changed its atime, which is restored
            fsops.set_times(fd, entry.meta.atime_ns, entry.meta.mtime_ns)
    return fits


def _same(one: Facts, other: Facts | None) -> bool:
    return other is not None and one.ino == other.ino


def _restore(dir_fd: int, entry: Entry, *, as_root: bool) -> None:
    meta = entry.meta
    with fsops.opened_link(dir_fd, entry.temp) as fd:
        info = os.fstat(fd)
        if as_root:
            trust.check_symlink(info, meta, os.fstat(dir_fd))
        if (info.st_uid, info.st_gid) != (meta.uid, meta.gid):
            fsops.set_owner(fd, meta.uid, meta.gid)
        fsops.set_times(fd, meta.atime_ns, meta.mtime_ns)
