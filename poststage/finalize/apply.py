"""One window of state files, from plan to published names, with durability in batches.

Metadata of all files; ONE sync of each filesystem; all names; one fsync per directory;
then what needs those names. A batch costs a few flushes, not one for each file.
"""

import os
from collections import defaultdict
from collections.abc import Iterable

from poststage import names
from poststage.durable import fsops
from poststage.errors import ExitCode
from poststage.finalize.extras import finish_directory, make_link
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.place import place
from poststage.finalize.plan import Action
from poststage.finalize.prepare import plan_only, prepare
from poststage.finalize.work import Job, Step, Work
from poststage.model import Kind, Verdict

STOPPED = outcome(Verdict.RUNNING, "the finalizer was stopped before it came to this file")
_MOVED = frozenset({Kind.FILE, Kind.SYMLINK})


def apply(jobs: list[Job], work: Work) -> None:
    """Fill in the outcomes of all entries of `jobs`, directories' modes excepted.

    On return every PUBLISHED, FAILED and CONFLICT is durable.
    """
    steps = [step for job in jobs for step in _prepared(job, work)]
    steps = _synced(steps, work)
    for step in steps:
        step.job.outcomes[step.index] = STOPPED if work.stopped() else place(step, work)
    _sync_directories(((step.job, step.index, step.directory) for step in steps), work)
    _links(jobs, work)


def dry_run(jobs: list[Job], work: Work) -> None:
    """Fill in what would come of the entries of `jobs`; change nothing."""
    for job in jobs:
        for index, entry in job.open_entries():
            job.outcomes[index] = (
                _would_be(job, index, work)
                if entry.kind is Kind.FILE
                else outcome(Verdict.PUBLISHED, f"would make the {entry.kind.value}")
            )


def _would_be(job: Job, index: int, work: Work) -> Outcome:
    try:
        _, plan = plan_only(job, index, job.state.entries[index], work)
    except OSError as error:
        return refused("looking at its names", error)
    if plan.action is Action.NONE:
        return outcome(plan.verdict, plan.reason, code=plan.code)
    reason = f"would {plan.action.value}"
    return outcome(plan.verdict, f"{reason}: {plan.reason}" if plan.reason else reason)


def finish_directories(jobs: Iterable[Job], work: Work, *, last: bool) -> None:
    """Outcomes of the DIRECTORY entries of `jobs`, the deepest first."""
    found = [
        (entry.destination, index, entry, job)
        for job in jobs
        for index, entry in job.open_entries()
        if entry.kind is Kind.DIRECTORY
    ]
    for _, index, entry, job in sorted(found, key=lambda one: one[0], reverse=True):
        job.outcomes[index] = finish_directory(entry, job, work, last=last)


def _prepared(job: Job, work: Work) -> Iterable[Step]:
    for index, entry in job.open_entries():
        if entry.kind not in _MOVED:
            continue
        result = STOPPED if work.stopped() else prepare(job, index, entry, work)
        if isinstance(result, Step):
            yield result
        else:
            job.outcomes[index] = result


def _synced(steps: list[Step], work: Work) -> list[Step]:
    """The steps whose files' data and metadata are durable; the others get their outcome."""
    filesystems: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        if step.seen.temp is not None and step.plan.action is not Action.DELETE:
            filesystems[os.fstat(work.dirs.fd(step.directory)).st_dev].append(step)
    bad: set[tuple[int, int]] = set()
    for group in filesystems.values():
        try:
            fsops.sync_filesystem(work.dirs.fd(group[0].directory))
        except OSError:
            bad |= {(id(step.job), step.index) for step in group if not _synced_alone(step, work)}
    return [step for step in steps if (id(step.job), step.index) not in bad]


def _synced_alone(step: Step, work: Work) -> bool:
    """fsync one file after its filesystem reported an error, to learn whose error it was.

    A failure is final: what is on the disk is unknown from then on, and a later sync that
    succeeds says nothing about the lost write.
    """
    try:
        fd = fsops.open_file(work.dirs.fd(step.directory), step.seen.entry.temp)
        try:
            fsops.sync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        reason = f"fsync: {error.strerror}; what the disk holds is unknown; the temp file is kept"
        step.job.outcomes[step.index] = outcome(Verdict.FAILED, reason)
        return False
    return True


def _sync_directories(touched: Iterable[tuple[Job, int, bytes]], work: Work) -> None:
    """One fsync for each directory; if it fails, nothing in it counts as durable."""
    directories: dict[bytes, list[tuple[Job, int]]] = defaultdict(list)
    for job, index, directory in touched:
        if job.outcomes[index].verdict.final:
            directories[directory].append((job, index))
    for directory, entries in directories.items():
        try:
            fsops.sync(work.dirs.fd(directory))
        except OSError as error:
            failed = refused("fsync of its directory", error)
            for job, index in entries:
                job.outcomes[index] = failed


def _links(jobs: list[Job], work: Work) -> None:
    made: list[tuple[Job, int, bytes]] = []
    for job in jobs:
        for index, entry in job.open_entries():
            if entry.kind is Kind.LINK:
                job.outcomes[index] = STOPPED if work.stopped() else make_link(job, entry, work)
                made.append((job, index, names.split(entry.destination)[0]))
    _sync_directories(made, work)


def worst_code(job: Job) -> set[ExitCode]:
    """The exit codes that the entries of `job` ask for."""
    codes = {one.code for one in job.outcomes.values()}
    if any(ended.verdict is not Verdict.PUBLISHED for ended in job.state.ended.values()):
        codes.add(ExitCode.NEEDS_PERSON)
    return codes
