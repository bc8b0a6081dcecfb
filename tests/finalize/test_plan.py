"""The plan over its whole space: every fate, temp file, destination and conflict copy."""

import stat
from collections.abc import Iterator
from itertools import product

import pytest
from msgspec import Struct
from msgspec.structs import replace

from poststage.finalize.plan import Action, Plan, plan_file, plan_taken
from poststage.finalize.seen import Facts, Fate, Seen, same_but_atime
from poststage.model import Entry, Identity, Kind, Meta, Verdict

OURS, OTHER = 1000, 1001
META = Meta(size=100, uid=OURS, gid=OURS, mode=0o640, atime_ns=5, mtime_ns=500)
CLOSED_NS = 900
PRIOR = Identity(ino=50, size=40, mtime_ns=400)
ENTRY = Entry(Kind.FILE, b"/bb/f", b"/dst/f", b".f.poststage", META)


def facts(ino: int, *, kind: int = stat.S_IFREG, nlink: int = 1, **changes: int) -> Facts:
    """As recorded, but for `changes` of its metadata."""
    return Facts(ino, nlink, kind, replace(META, **changes))


GOOD = facts(7, mode=0o600, mtime_ns=CLOSED_NS)
TEMPS: dict[str, Facts | None] = {
    "none": None,
    "good": GOOD,
    "restored": facts(7),
    "short": facts(7, size=60, mtime_ns=CLOSED_NS),
    "long": facts(7, size=160, mtime_ns=CLOSED_NS),
    "fifo": facts(7, kind=stat.S_IFIFO),
    "symlink": facts(7, kind=stat.S_IFLNK),
    "directory": facts(7, kind=stat.S_IFDIR),
    "hard-linked": facts(7, nlink=2, mtime_ns=CLOSED_NS),
    "of another user": facts(7, uid=OTHER, mtime_ns=CLOSED_NS),
    "written after its end": facts(7, mtime_ns=CLOSED_NS + 1),
    "what was recorded at the destination": facts(PRIOR.ino, size=PRIOR.size, mtime_ns=400),
}
DESTINATIONS: dict[str, Facts | None] = {
    "none": None,
    "prior": facts(PRIOR.ino, size=PRIOR.size, mtime_ns=PRIOR.mtime_ns),
    "older": facts(60, mtime_ns=499),
    "newer": facts(60, mtime_ns=501),
    "of the same time": facts(60, mode=0o600),
    "prior, written since": facts(PRIOR.ino, size=PRIOR.size, mtime_ns=401),
    "directory": facts(60, kind=stat.S_IFDIR),
    "symlink": facts(60, kind=stat.S_IFLNK),
    "the temp file": facts(7, nlink=2, mtime_ns=CLOSED_NS),
    "the restored temp file": facts(7, nlink=2),
    "the recorded file": facts(61),
}
ASIDES: dict[str, Facts | None] = {
    "none": None,
    "somebody's": facts(80, mtime_ns=1),
    "the recorded file": facts(81),
    "the temp file": facts(7, nlink=2, mtime_ns=CLOSED_NS),
}


class Case(Struct, frozen=True):
    """One point of the space, by its names."""

    fate: Fate
    temp: str
    destination: str
    aside: str
    prior: bool
    checksum: bool
    closed: bool
    missing: bool = False

    @property
    def seen(self) -> Seen:
        """What is observed there."""
        entry = replace(
            ENTRY,
            prior=PRIOR if self.prior else None,
            checksum="xxh3_128:" + "0" * 32 if self.checksum else None,
        )
        return Seen(
            entry,
            self.fate,
            "the backend's words",
            temp=self._temp(),
            destination=None if self.missing else DESTINATIONS[self.destination],
            aside=ASIDES[self.aside],
            directory_missing=self.missing,
            closed_mtime_ns=CLOSED_NS if self.closed else None,
            euid=OURS,
        )

    def _temp(self) -> Facts | None:
        """A file that has a second name here has two links."""
        temp = None if self.missing else TEMPS[self.temp]
        others = (DESTINATIONS[self.destination], ASIDES[self.aside])
        if temp is not None and any(one and one.ino == temp.ino for one in others):
            return replace(temp, nlink=2)
        return temp


def space() -> Iterator[Case]:
    flags = (True, False)
    yield from (
        Case(*point) for point in product(Fate, TEMPS, DESTINATIONS, ASIDES, flags, flags, flags)
    )
    yield from (Case(fate, "none", "none", "none", False, False, False, True) for fate in Fate)


CASES = list(space())
PLANS: list[tuple[Case, Seen, Plan]] = [(case, case.seen, plan_file(case.seen)) for case in CASES]
NAMING = {Action.PUBLISH, Action.REPLACE, Action.TAKE_NAME, Action.STEP_ASIDE}


def is_whole(seen: Seen) -> bool:
    """Whether the temp file may be what was recorded."""
    temp, entry = seen.temp, seen.entry
    return (
        temp is not None
        and temp.regular
        and temp.meta.size == entry.meta.size
        and temp.meta.uid in {OURS, entry.meta.uid}
        and (
            seen.closed_mtime_ns in {None, temp.meta.mtime_ns}
            or temp.meta.mtime_ns == entry.meta.mtime_ns
        )
    )


def has_been_published(seen: Seen) -> bool:
    """Whether the destination is the recorded file, and not what stood there before."""
    there = seen.destination
    return (
        there is not None
        and there.regular
        and same_but_atime(there.meta, seen.entry.meta)
        and (there.ino != PRIOR.ino or seen.entry.prior is None)
    )


def breaks(case: Case, seen: Seen, plan: Plan) -> list[str]:
    """The laws that `plan` breaks."""
    return [law for law, holds in laws(case, seen, plan).items() if not holds]


def laws(case: Case, seen: Seen, plan: Plan) -> dict[str, bool]:
    """Each law, and whether `plan` keeps it."""
    action, temp = plan.action, seen.temp
    settled = case.fate in {Fate.DONE, Fate.FAILED, Fate.UNPROVEN}
    short = temp is not None and temp.meta.size < META.size
    twin = temp is not None and seen.destination is not None and temp.ino == seen.destination.ino
    copied = temp is not None and seen.aside is not None and temp.ino == seen.aside.ino
    is_prior = case.prior and case.destination == "prior"
    return {
        "nothing changes while the backend may write or did not answer": settled
        or action is Action.NONE,
        "a running transfer is running": (case.fate is Fate.PENDING)
        is (plan.verdict is Verdict.RUNNING),
        "an unknown answer is success only where the recorded file stands there": case.fate
        is not Fate.UNKNOWN
        or plan.verdict is not Verdict.PUBLISHED
        or (temp is None and has_been_published(seen)),
        "only what failed is deleted": action is not Action.DELETE
        or case.fate is Fate.FAILED
        or (case.fate is Fate.UNPROVEN and short),
        "a directory is never deleted": action is not Action.DELETE
        or (temp is not None and not temp.directory),
        "only a whole file of a transfer that did not fail gets a name": action not in NAMING
        or (case.fate in {Fate.DONE, Fate.UNPROVEN} and is_whole(seen) and seen.temp is not None),
        "what nobody vouches for gets a name by its checksum alone": action not in NAMING
        or case.fate is Fate.DONE
        or case.checksum,
        "a file with further names gets none": action not in NAMING
        or (temp is not None and temp.nlink == 1),
        "a name is taken from nobody but the recorded file": action is not Action.REPLACE
        or is_prior,
        "a free name is taken without a conflict": action is not Action.PUBLISH
        or seen.destination is None,
        "a directory is never moved": action is not Action.TAKE_NAME
        or (seen.destination is not None and not seen.destination.directory),
        "the newer file takes the name": action is not Action.TAKE_NAME
        or (seen.destination is not None and seen.destination.meta.mtime_ns <= META.mtime_ns),
        "the temp name is dropped only where the file has another": action is not Action.DROP_TEMP
        or twin
        or copied,
        "what was replaced is dropped only when the new file stands there": action
        is not Action.DROP_PRIOR
        or (case.prior and has_been_published(seen) and temp is not None and temp.ino == PRIOR.ino),
        "what stands aside was displaced by the recorded file": action is not Action.SET_ASIDE
        or has_been_published(seen),
        "a verdict of success leaves the recorded file at the destination": plan.verdict
        is not Verdict.PUBLISHED
        or action in {Action.PUBLISH, Action.REPLACE}
        or (action is Action.DROP_TEMP and twin)
        or has_been_published(seen),
        "a conflict keeps both files": plan.verdict is not Verdict.CONFLICT
        or seen.destination is not None
        or seen.aside is not None,
        "who needs a person is told why": not plan.verdict.needs_person or bool(plan.reason),
        "failed is only what the backend calls so, or cannot vouch for": plan.verdict
        is not Verdict.FAILED
        or case.fate is Fate.FAILED
        or (case.fate is Fate.UNPROVEN and short),
        "nothing is undone for a file that is not there": temp is not None or action is Action.NONE,
    }


LAWS = set(laws(*PLANS[0]))


def test_every_point_of_the_space_keeps_every_law() -> None:
    broken = [(law, case, plan) for case, seen, plan in PLANS for law in breaks(case, seen, plan)]
    assert broken == []


def test_each_law_is_broken_by_some_other_plan() -> None:
    plans = [Plan(action, verdict) for action in Action for verdict in Verdict]
    broken = {
        law for case, seen, _ in PLANS[::7] for plan in plans for law in breaks(case, seen, plan)
    }
    assert broken == LAWS


def test_every_action_and_every_verdict_is_reached() -> None:
    assert {plan.action for _, _, plan in PLANS} == set(Action) - {Action.RESTORE}
    assert {plan.verdict for _, _, plan in PLANS} == set(Verdict)


@pytest.mark.parametrize(
    ("temp", "destination", "aside", "prior", "expected"),
    [
        ("good", "none", "none", False, (Action.PUBLISH, Verdict.PUBLISHED)),
        ("good", "prior", "none", True, (Action.REPLACE, Verdict.PUBLISHED)),
        ("good", "prior", "none", False, (Action.TAKE_NAME, Verdict.CONFLICT)),
        ("good", "older", "none", False, (Action.TAKE_NAME, Verdict.CONFLICT)),
        ("good", "newer", "none", False, (Action.STEP_ASIDE, Verdict.CONFLICT)),
        ("good", "prior, written since", "none", True, (Action.TAKE_NAME, Verdict.CONFLICT)),
        ("good", "directory", "none", False, (Action.STEP_ASIDE, Verdict.CONFLICT)),
        ("good", "none", "none", True, (Action.PUBLISH, Verdict.PUBLISHED)),
        ("none", "the recorded file", "none", False, (Action.NONE, Verdict.PUBLISHED)),
        ("none", "none", "none", False, (Action.NONE, Verdict.LOST)),
        ("none", "older", "none", False, (Action.NONE, Verdict.LOST)),
        ("short", "none", "none", False, (Action.NONE, Verdict.LOST)),
        ("long", "none", "none", False, (Action.NONE, Verdict.LOST)),
        ("fifo", "none", "none", False, (Action.NONE, Verdict.LOST)),
        ("written after its end", "none", "none", False, (Action.NONE, Verdict.LOST)),
    ],
)
def test_a_finished_transfer_is_settled_by_what_stands_there(
    temp: str,
    destination: str,
    aside: str,
    prior: bool,
    expected: tuple[Action, Verdict],
) -> None:
    case = Case(Fate.DONE, temp, destination, aside, prior, checksum=False, closed=True)
    plan = plan_file(case.seen)
    assert (plan.action, plan.verdict) == expected


@pytest.mark.parametrize(
    ("temp", "destination", "aside", "prior", "expected"),
    [
        # link, then a crash before unlink
        ("restored", "the restored temp file", "none", False, Action.DROP_TEMP),
        # exchange in TAKE_NAME: the temp name holds what stood there, its copy is made
        ("good", "the recorded file", "the temp file", False, Action.SET_ASIDE),
        # the same, but somebody had replaced that in between
        ("written after its end", "the recorded file", "somebody's", False, Action.SET_ASIDE),
        # exchange in REPLACE: the temp name holds what was replaced
        ("what was recorded at the destination", "the recorded file", "none", True,
         Action.DROP_PRIOR),
        # STEP_ASIDE by link, then a crash before unlink
        ("restored", "newer", "the temp file", False, Action.DROP_TEMP),
        # STEP_ASIDE, then a crash before the record
        ("none", "newer", "the recorded file", False, Action.NONE),
    ],
)  # fmt: skip
def test_a_crash_at_each_step_of_naming_is_known_again(
    temp: str, destination: str, aside: str, prior: bool, expected: Action
) -> None:
    case = Case(Fate.DONE, temp, destination, aside, prior, checksum=False, closed=True)
    assert plan_file(case.seen).action is expected


def test_a_short_file_never_gets_a_name_even_where_the_recorded_one_stands() -> None:
    case = Case(Fate.DONE, "short", "the recorded file", "none", False, False, False)
    assert plan_file(case.seen).action is Action.NONE


def test_a_name_that_turns_out_to_be_taken_by_the_file_itself_needs_no_copy() -> None:
    seen = replace(Case(Fate.DONE, "good", "the temp file", "none", *(False,) * 3).seen)
    assert plan_taken(seen) == Plan(Action.DROP_TEMP, Verdict.PUBLISHED)


def test_without_its_directory_nothing_is_lost_and_nothing_published() -> None:
    plans = {case.fate: plan.verdict for case, _, plan in PLANS if case.missing}
    assert plans == {
        Fate.DONE: Verdict.UNKNOWN,
        Fate.FAILED: Verdict.FAILED,
        Fate.PENDING: Verdict.RUNNING,
        Fate.UNPROVEN: Verdict.UNKNOWN,
        Fate.UNKNOWN: Verdict.UNKNOWN,
    }
