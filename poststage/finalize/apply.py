"""One window of state files, from plan to published names, with durability in batches.

Metadata of all files; ONE sync of each filesystem; all names; one fsync per directory;
then what needs those names. A batch costs a few flushes, not one for each file.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby, islice

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize.directories import finish_directory, make_directories
from poststage.finalize.express import express
from poststage.finalize.links import HAS_A_NAME, make_link, without_base
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.place import drop_replaced, place
from poststage.finalize.plan import Action
from poststage.finalize.prepare import HELD_BACK, made_later, plan_only, prepare
from poststage.finalize.seen import Fate
from poststage.finalize.symlinks import prepare_symlink
from poststage.finalize.syncing import sync_alone
from poststage.finalize.work import Job, Step, Work
from poststage.model import Entry, Kind, Verdict

STOPPED = outcome(Verdict.RUNNING, "the finalizer was stopped before it came to this file")
_NOT_ENDED = {Fate.PENDING: Verdict.RUNNING, Fate.UNKNOWN: Verdict.UNKNOWN}
_STEPS_MAX = 8192  # at once


def apply(jobs: list[Job], work: Work) -> None:
    """Fill in the outcomes of all entries of `jobs`, directories' modes excepted.

    On return every PUBLISHED, FAILED and CONFLICT is durable.
    """
    make_directories([job for job in jobs if not job.pending.moves_files], work)
    if not work.hold:
        express(jobs, work)
    left = (step for job in jobs for step in _prepared(job, work))
    while steps := list(islice(left, _STEPS_MAX)):
        _publish(_synced(steps, work), work)
    _links(jobs, work)


def _publish(steps: list[Step], work: Work) -> None:
    """Carry out what was planned for files that are durable."""
    for step in steps:
        step.job.outcomes[step.index] = STOPPED if work.stopped() else place(step, work)
    _sync_directories((_named(step) for step in steps), work)
    _drop_replaced(steps, work)


def dry_run(jobs: list[Job], work: Work) -> None:
    """Fill in what would come of the entries of `jobs`; change nothing."""
    for job in jobs:
        for index, entry in enumerate(job.state.entries):
            if index in job.state.ended:
                continue
            would = _would_be if entry.kind is Kind.FILE else _would_make
            job.outcomes[index] = would(job, index, work)


def _would_be(job: Job, index: int, work: Work) -> Outcome:
    try:
        _, plan = plan_only(job, index, job.state.entries[index], work)
    except (OSError, PoststageError) as error:
        return refused("looking at its names", error)
    if plan.action is Action.NONE:
        return outcome(plan.verdict, plan.reason, code=plan.code)
    if work.hold and plan.action is not Action.DELETE:
        return outcome(Verdict.RUNNING, HELD_BACK)
    reason = f"would {plan.action.value}"
    reason = f"{reason}: {plan.reason}" if plan.reason else reason
    return outcome(plan.verdict, reason, code=plan.code, changed=True)


def _would_make(job: Job, index: int, work: Work) -> Outcome:
    """What comes of a link or a directory; a base comes before its links."""
    entry, waits = job.state.entries[index], made_later(job)
    if waits is not None:
        return waits
    if work.hold:
        return outcome(Verdict.RUNNING, HELD_BACK)
    base = None if entry.link_to is None else job.verdict(entry.link_to)
    if entry.link_to is not None and base not in HAS_A_NAME:
        return without_base(base)
    return outcome(Verdict.PUBLISHED, f"would make the {entry.kind.value}", changed=True)


def finish_directories(jobs: Iterable[Job], work: Work, *, last: bool) -> None:
    """Outcomes of the DIRECTORY entries of `jobs`, the deepest first."""
    jobs = list(jobs)
    found = [
        (entry.destination, index, entry, job)
        for job in jobs
        for index, entry in job.open_entries(Kind.DIRECTORY)
    ]
    make_directories(jobs, work)
    for _, index, entry, job in sorted(found, key=lambda one: one[0], reverse=True):
        job.outcomes[index] = finish_directory(entry, job, work, last=last)


def _prepared(job: Job, work: Work) -> Iterable[Step]:
    for index, entry in job.undecided():
        result = _prepared_one(job, index, entry, work)
        if isinstance(result, Step):
            yield result
        else:
            job.outcomes[index] = result


def _prepared_one(job: Job, index: int, entry: Entry, work: Work) -> Step | Outcome:
    if work.stopped():
        seen = job.seen(index, entry)
        verdict = _NOT_ENDED.get(seen.fate)
        return STOPPED if verdict is None else outcome(verdict, seen.reason)
    if entry.kind is Kind.SYMLINK:
        return prepare_symlink(job, index, entry, work)
    return prepare(job, index, entry, work)


def _named(step: Step) -> tuple[Job, int, bytes]:
    return step.job, step.index, step.directory


def _drop_replaced(steps: list[Step], work: Work) -> None:
    """The second half of each REPLACE: delete what it replaced, once the new name is durable."""
    dropped: list[Step] = []
    for step in steps:
        done = step.job.outcomes[step.index]
        if step.plan.action is Action.REPLACE and done.verdict is Verdict.PUBLISHED:
            result = drop_replaced(step, work)
            if result is not None:
                step.job.outcomes[step.index] = result
                dropped.append(step)
    _sync_directories((_named(step) for step in dropped), work)


def _synced(steps: list[Step], work: Work) -> list[Step]:
    """The steps whose files' data and metadata are durable; the others get their outcome."""
    filesystems: dict[int, list[Step]] = defaultdict(list)
    for directory, group in groupby(steps, key=lambda step: step.directory):
        some = [step for step in group if _has_content(step)]
        try:
            if some:
                filesystems[os.fstat(work.dirs.fd(directory)).st_dev] += some
        except (OSError, PoststageError) as error:
            for step in some:
                step.job.outcomes[step.index] = refused("opening its directory", error)
    for some in filesystems.values():
        try:
            fsops.sync_filesystem(work.dirs.fd(some[0].directory))
        except (OSError, PoststageError):
            for step in some:
                if step.seen.entry.kind is Kind.FILE:  # a symlink is synced with its directory
                    _sync_step(step, work)
    return [step for step in steps if step.index not in step.job.outcomes]


def _has_content(step: Step) -> bool:
    return step.seen.temp is not None and step.plan.action is not Action.DELETE


def _sync_step(step: Step, work: Work) -> None:
    try:
        failed = sync_alone(work.dirs.fd(step.directory), step.seen.entry.temp)
    except (OSError, PoststageError) as error:
        failed = refused("opening it for fsync", error)
    if failed is not None:
        step.job.outcomes[step.index] = failed


def _sync_directories(touched: Iterable[tuple[Job, int, bytes]], work: Work) -> None:
    """One fsync for each directory; if it fails, nothing in it counts as durable."""
    directories: dict[bytes, list[tuple[Job, int]]] = defaultdict(list)
    for job, index, directory in touched:
        if job.outcomes[index].verdict.final:
            directories[directory].append((job, index))
    for directory, entries in directories.items():
        try:
            fsops.sync(work.dirs.fd(directory))
        except (OSError, PoststageError) as error:
            failed = refused("fsync of its directory", error)
            for job, index in entries:
                job.outcomes[index] = failed


def _links(jobs: list[Job], work: Work) -> None:
    made: list[tuple[Job, int, bytes]] = []
    for job in jobs:
        for index, entry in job.open_entries(Kind.LINK):
            job.outcomes[index] = STOPPED if work.stopped() else make_link(job, entry, work)
            made.append((job, index, names.split(entry.destination)[0]))
    _sync_directories(made, work)
