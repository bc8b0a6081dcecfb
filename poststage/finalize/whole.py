"""Whether a dataset is ready as a whole, for `--publish dataset`. Changes nothing."""

from poststage.finalize.apply import dry_run
from poststage.finalize.pending import Loaded, Pending
from poststage.finalize.scan import Group, part_of
from poststage.finalize.window import Result, Windows
from poststage.finalize.work import Job
from poststage.model import Verdict

_FINE = frozenset({Verdict.PUBLISHED, Verdict.CONFLICT})


def is_ready(windows: Windows, group: Group, pendings: list[Pending]) -> bool:
    """Whether every part is there and every entry of it is, or can now be, published."""
    unreadable = Result({}, [], [])
    parts, seen, fine = 0, {part_of(name) for name in group.done} - {None}, True
    for window in windows.loaded(pendings, unreadable):
        answers = windows.probes.answers(one.pending for one in window)
        for one in window:
            if one.state is None or not one.state.recorded:
                return False
            parts = max(parts, one.state.head.parts)
            seen.add(one.state.head.part)
            job = Job(one, one.state, answers[one.pending.path])
            dry_run([job], windows.tools(hold=False))
            fine = fine and _fine(one, job)
    return fine and not unreadable.tallies and len(seen) >= parts


def _fine(one: Loaded, job: Job) -> bool:
    assert one.state is not None
    verdicts = [one.verdict for one in one.state.ended.values()]
    verdicts += [one.verdict for one in job.outcomes.values()]
    return _FINE.issuperset(verdicts)
