"""One dataset of SCR's: its ranks' transfers ended, its verdict, in the finalizer's terms."""

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from poststage import names
from poststage.durable import fsops
from poststage.errors import ExitCode, PoststageError, worst
from poststage.finalize.options import Options
from poststage.finalize.report import (
    MISSING_MAX,
    PROBLEMS_MAX,
    WAITS,
    DatasetReport,
    Problem,
    Report,
)
from poststage.model import Verdict
from poststage.scr.datasets import Dataset
from poststage.scr.files import Part, read_ranks
from poststage.scr.verdict import Missing, state_name, unaccounted

Finalize = Callable[[Path, Options, Callable[[], bool]], Report]

# What is recorded for good: everything else may be otherwise in the next run.
_SETTLED = frozenset({ExitCode.OK, ExitCode.NEEDS_PERSON, ExitCode.DATA})


class Finished(Struct, frozen=True):
    """What came of one dataset in this run."""

    report: DatasetReport
    code: ExitCode
    notes: tuple[str, ...] = ()
    settled: bool = False
    """Whether the verdict is final, so that SCR is told."""


def finish(
    prefix: Path,
    scr_fd: int,
    dataset: Dataset,
    options: Options,
    stop: Callable[[], bool],
    finalize: Finalize,
) -> Finished:
    """End the transfers of `dataset` and judge it; SCR's files are not written here.

    `scr_fd` is the open directory PREFIX/.scr.
    """
    try:
        fd = fsops.open_subdir(scr_fd, dataset.directory)
    except FileNotFoundError:
        return _never(dataset, "its directory is missing: nothing of it was handed over")
    except OSError as error:
        return _never(dataset, f"its directory cannot be opened: {error.strerror}", settled=False)
    try:
        part = read_ranks(fd, trusted_uid=0 if options.restore_owners else None)
        ended = finalize(prefix / ".scr" / os.fsdecode(dataset.directory), options, stop)
        ready = options.dry_run and ended.exit_code is ExitCode.OK
        return _judged(dataset, part, ended, _unaccounted(fd, part, prefix, ready=ready))
    except PoststageError as error:
        settled = error.exit_code in _SETTLED
        return _never(dataset, error.message, code=error.exit_code, settled=settled)
    finally:
        os.close(fd)


def never_begun(dataset: Dataset) -> Finished:
    """A dataset that lies in the cache alone: no loss if it is a checkpoint."""
    if dataset.output:
        return _never(dataset, "it was never flushed: only the job's nodes had it", settled=False)
    report = _report(dataset)
    note = f"{_shown(dataset)}: a checkpoint that was never flushed; it was in the cache alone"
    return Finished(report, ExitCode.OK, (note,))


def held_back(dataset: Dataset, output: int) -> Finished:
    """A checkpoint behind an output that is not whole: restarting from it would lose that."""
    return _never(dataset, f"{WAITS}: output {output} before it is not whole", settled=False)


def _never(
    dataset: Dataset,
    reason: str,
    *,
    code: ExitCode = ExitCode.NEEDS_PERSON,
    settled: bool = True,
) -> Finished:
    verdict = Verdict.LOST if settled else Verdict.UNKNOWN
    problem = Problem(
        -1, verdict.value, names.shown(reason), state_file=names.to_text(dataset.directory)
    )
    report = replace(_report(dataset), problems=(problem,), problems_in_all=1)
    return Finished(report, code, settled=settled)


def _unaccounted(fd: int, part: Part | None, prefix: Path, *, ready: bool) -> list[Missing]:
    if part is None:
        return [Missing(-1, "SCR's list of its ranks and files (rank2file) is missing")]
    named = os.fsencode(prefix)
    return list(unaccounted(fd, part, [named, os.path.realpath(named)], ready=ready))


def _judged(dataset: Dataset, part: Part | None, ended: Report, missing: list[Missing]) -> Finished:
    """The dataset's report: what finalize says of its files, and what SCR says of its ranks."""
    if not dataset.name:
        missing = [*missing, Missing(-1, "SCR's description of it is missing, its name with it")]
    files = _summed(ended)
    # With every rank accounted for, what is left to a person is of none of them.
    complete = not missing and ended.exit_code in {ExitCode.OK, ExitCode.NEEDS_PERSON}
    codes = {one.code for one in missing if one.reason} | {ended.exit_code}
    own = [_problem(dataset, one) for one in missing if one.reason]
    ranks = 0 if part is None else part.ranks
    absent = tuple(one.rank for one in missing if one.absent)
    report = replace(
        files,
        dataset=_shown(dataset),
        directory=names.to_text(dataset.directory),
        complete=complete,
        parts=ranks,
        parts_seen=ranks - len(absent),
        missing_parts=absent[:MISSING_MAX],
        problems=() if complete else (*files.problems, *own)[:PROBLEMS_MAX],
        problems_in_all=0 if complete else files.problems_in_all + len(own),
    )
    code = ExitCode.OK if complete else worst(codes)
    return Finished(report, code, ended.notes, settled=codes <= _SETTLED)


def _summed(ended: Report) -> DatasetReport:
    """SCR's directory of a dataset holds its state files and no directories of them."""
    empty = DatasetReport("", "", complete=False, parts=0, parts_seen=0)
    return next((one for one in ended.datasets if not one.directory), empty)


def _problem(dataset: Dataset, one: Missing) -> Problem:
    where = dataset.directory + (b"/" + state_name(one.rank) if one.rank >= 0 else b"")
    final = one.code in _SETTLED
    verdict = Verdict.LOST if final else Verdict.UNKNOWN
    return Problem(
        one.rank, verdict.value, names.shown(one.reason), state_file=names.to_text(where)
    )


def _report(dataset: Dataset) -> DatasetReport:
    where = names.to_text(dataset.directory)
    return DatasetReport(_shown(dataset), where, complete=False, parts=0, parts_seen=0)


def _shown(dataset: Dataset) -> str:
    name = names.shown(dataset.name) or "without a name"
    kind = "output" if dataset.output else "checkpoint"
    return f"{dataset.id} {name} ({kind})"
