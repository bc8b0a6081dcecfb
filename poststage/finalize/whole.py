"""Whether a dataset is ready as a whole, for `--publish dataset`. Gives nothing its name."""

from collections.abc import Iterable

from poststage.errors import ExitCode, StateFileError
from poststage.finalize.outcome import Outcome
from poststage.finalize.pending import Pending
from poststage.finalize.prepare import HELD_BACK
from poststage.finalize.scan import Group, part_of
from poststage.finalize.tally import Tally
from poststage.finalize.window import Result, Windows, tally_of
from poststage.finalize.work import Job
from poststage.model import Verdict

_FINE = frozenset({Verdict.PUBLISHED, Verdict.CONFLICT})


def judge(windows: Windows, pendings: Iterable[Pending]) -> Result:
    """What `is_ready` goes by of these state files; several may be judged at once, and added up.

    Contents are proven and metadata restored to find that out: what fails at that must not
    be learnt when half of the dataset can be seen already.
    """
    result = Result({}, [], [])
    for window in windows.loaded(pendings, result):
        answers = windows.probes.answers(one.pending for one in window)
        jobs = []
        for one in window:
            tally = tally_of(result, one.pending.directory)
            if one.state is None or not one.state.recorded:
                tally.codes.add(ExitCode.RUN_AGAIN)
                continue
            tally.parts = max(tally.parts, one.state.head.parts)
            if one.state.head.parts:
                tally.seen.add(one.state.head.part)
            jobs.append(Job(one, one.state, answers[one.pending.path]))
        for job in _unfit(windows, jobs):
            tally_of(result, job.pending.directory).codes.add(ExitCode.RUN_AGAIN)
    return result


def is_ready(group: Group, judged: Tally | None) -> bool:
    """Whether every part is there and every entry of it is, or can now be, published."""
    if judged is None:
        return True  # nothing is pending
    done = {part_of(name) for name in group.done} - {None}
    return not judged.codes and len(done | judged.seen) >= judged.parts


def _unfit(windows: Windows, jobs: list[Job]) -> list[Job]:
    """Those of which something cannot be published."""
    try:
        windows.judge(jobs)
    except StateFileError:  # a long one, which has changed while it was read
        return jobs
    return [job for job in jobs if not _fine(job)]


def _fine(job: Job) -> bool:
    recorded = {ended.verdict for ended in job.state.ended.values()}
    return recorded <= _FINE and all(map(_can_be, job.outcomes.values()))


def _can_be(one: Outcome) -> bool:
    return one.verdict in _FINE or one.reason == HELD_BACK
