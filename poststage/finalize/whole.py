"""Whether a dataset is ready as a whole, for `--publish dataset`. Gives nothing its name."""

from collections.abc import Iterable

from poststage.finalize.outcome import Outcome
from poststage.finalize.pending import Loaded, Pending
from poststage.finalize.prepare import HELD_BACK
from poststage.finalize.scan import Group, part_of
from poststage.finalize.window import Result, Windows
from poststage.finalize.work import Job
from poststage.model import Verdict

_FINE = frozenset({Verdict.PUBLISHED, Verdict.CONFLICT})


def is_ready(windows: Windows, group: Group, pendings: Iterable[Pending]) -> bool:
    """Whether every part is there and every entry of it is, or can now be, published.

    Contents are proven and metadata restored to find that out: what fails at that must not
    be learnt when half of the dataset can be seen already.
    """
    unreadable = Result({}, [], [])
    parts, seen, fine = 0, {part_of(name) for name in group.done} - {None}, True
    for window in windows.loaded(pendings, unreadable):
        answers = windows.probes.answers(one.pending for one in window)
        jobs = []
        for one in window:
            if one.state is None or not one.state.recorded:
                return False
            parts = max(parts, one.state.head.parts)
            if one.state.head.parts:
                seen.add(one.state.head.part)
            jobs.append(Job(one, one.state, answers[one.pending.path]))
        windows.judge(jobs)
        fine = fine and all(map(_fine, jobs, window))
    return fine and not unreadable.tallies and len(seen) >= parts


def _fine(job: Job, one: Loaded) -> bool:
    assert one.state is not None
    recorded = {ended.verdict for ended in one.state.ended.values()}
    return recorded <= _FINE and all(map(_can_be, job.outcomes.values()))


def _can_be(one: Outcome) -> bool:
    return one.verdict in _FINE or one.reason == HELD_BACK
