"""AXL's transfers: judged by what stands at the names, for AXL's own word lags behind.

A pure function of what was observed, like plan.py, which decides all that is not AXL's own:
that nobody recorded what stood at a destination, that the size may be the only evidence,
that some transfers write a destination under its own name, and that AXL's renames may have
left a file without what a chown takes or an old file system rounds.
"""

from msgspec import Struct
from msgspec.structs import replace

from poststage import names
from poststage.finalize.plan import Action, Plan, plan_file
from poststage.finalize.seen import Facts, Fate, Seen, same_but_atime
from poststage.model import Foreign, Identity, Meta, Verdict

SKEW_NS = 5 * 10**9  # clocks of two file systems may differ by this much
_SECOND_NS = 10**9
CANCELLED = "its transfer was cancelled, so what stands at the destination is left alone"
WRITTEN = Plan(Action.NONE, Verdict.RUNNING, "a process of this machine still writes it")
ABSENT = Plan(Action.NONE, Verdict.FAILED, "nothing of it is here, and nobody copies it")
_SPECIAL = 0o6000  # setuid and setgid: AXL sets the mode first, and its chown takes them away


class Judged(Struct, frozen=True):
    """`seen` as the plan is to be carried out on it."""

    seen: Seen
    plan: Plan


def judged(seen: Seen, one: Foreign, *, cancelled: bool, delete_incomplete: bool = False) -> Judged:
    """The plan for an entry of AXL's whose names were all looked at.

    `cancelled`: then nothing that stands at a destination is replaced. `delete_incomplete`: what
    was written under its final name and is short is deleted as a partial temp file is.
    """
    if seen.fate is Fate.PENDING or seen.directory_missing:
        return Judged(seen, plan_file(seen))
    if one.sized and seen.fate is Fate.UNPROVEN:
        seen = replace(seen, fate=Fate.DONE)  # as far as its size is right, which is asked below
    if one.in_place:
        plan = _in_place(seen, one)
        return Judged(seen, _deleted(seen, one, plan) if delete_incomplete else plan)
    if seen.temp is None:
        return _without_temp(seen, one)
    if seen.fate is not Fate.UNKNOWN:
        return _with_temp(seen, seen.temp, one, cancelled=cancelled)
    return Judged(seen, plan_file(seen))


def _without_temp(seen: Seen, one: Foreign) -> Judged:
    """AXL has renamed it, or nothing of it has arrived."""
    there = seen.destination
    exact = there is not None and same_but_atime(there.meta, seen.entry.meta)
    absent = not exact and seen.aside is None and (there is None or _is_older(there, one))
    if one.sized and absent:
        return Judged(seen, ABSENT)  # so says also a run after one that deleted what was partial
    if there is None or exact or not _is_it(there, seen.entry.meta, one):
        return Judged(seen, plan_file(seen))
    name = names.split(seen.entry.destination)[1]
    stands = replace(seen, temp=there, entry=replace(seen.entry, temp=name))
    return Judged(stands, _restored(stands, there))


def _with_temp(seen: Seen, temp: Facts, one: Foreign, *, cancelled: bool) -> Judged:
    """Nobody writes it any more."""
    there = seen.destination
    if seen.aside is not None and seen.aside.ino == temp.ino:
        return Judged(seen, plan_file(seen))  # of a conflict that was cut off
    if there is not None and _is_redundant(seen, temp, there):
        # What REPLACE left at a crash, or a second copy of the very file that was published.
        known = replace(seen, entry=replace(seen.entry, prior=_identity(temp)))
        return Judged(known, plan_file(known))
    restored = temp.meta.mtime_ns == seen.entry.meta.mtime_ns  # by a run that was cut off
    if _is_older(temp, one) and not restored:
        reason = "the temp file is older than its source, so it is another transfer's"
        return Judged(seen, _kept(reason))
    if _is_partial(seen, temp, one):
        return Judged(seen, _partial(seen, temp))
    if there is not None and not cancelled and _is_older(there, one):
        # It stood there before the source was last changed: it is what is to be replaced.
        seen = replace(seen, entry=replace(seen.entry, prior=_identity(there)))
    plan = plan_file(seen)
    return Judged(seen, left_standing(plan) if cancelled else plan)


def left_standing(plan: Plan) -> Plan:
    """`plan` for a cancelled transfer, which displaces nothing that stands at a destination."""
    if plan.action is Action.TAKE_NAME:
        return Plan(Action.STEP_ASIDE, plan.verdict, CANCELLED)
    return plan


def _in_place(seen: Seen, one: Foreign) -> Plan:
    """The plan for a destination that was written under its own name."""
    there, recorded = seen.temp, seen.entry.meta
    if there is not None and _is_it(there, recorded, one):
        exact = same_but_atime(there.meta, recorded)
        return Plan(Action.NONE, Verdict.PUBLISHED) if exact else _restored(seen, there)
    if seen.fate is Fate.UNKNOWN:
        return Plan(Action.NONE, Verdict.UNKNOWN, seen.reason)
    if there is None:
        return Plan(Action.NONE, Verdict.LOST, "nothing of it has arrived")
    if not there.regular:
        return _kept("what stands there is not a regular file")
    if _is_older(there, one):
        return _kept("what stands there is older than the source: nothing of it has arrived")
    if there.meta.size != recorded.size:
        return _kept(f"it is incomplete: {_of(there, recorded)}")
    if seen.fate is not Fate.DONE:
        return _kept(f"{seen.reason}; nothing proves that this file is whole")
    return _restored(seen, there)


def _deleted(seen: Seen, one: Foreign, plan: Plan) -> Plan:
    """`plan` for a site that wants nothing partial under a final name."""
    if plan.verdict is not Verdict.LOST or not one.sized:
        return plan
    if seen.temp is None:
        return ABSENT  # also after a run that has deleted it
    is_ours = not _is_older(seen.temp, one) and _is_partial(seen, seen.temp, one)
    return _partial(seen, seen.temp) if is_ours else plan


def _restored(seen: Seen, there: Facts) -> Plan:
    """Give a file that has its name its metadata, if it is no other file than it seems."""
    if there.nlink != 1:
        return _kept("it has other names (hard links)")
    if there.meta.uid not in {seen.euid, seen.entry.meta.uid}:
        return _kept(f"it belongs to uid {there.meta.uid}")
    return Plan(Action.RESTORE, Verdict.PUBLISHED)


def _is_it(there: Facts, recorded: Meta, one: Foreign) -> bool:
    """Whether AXL has given this file its metadata, as far as AXL and the file system can."""
    return (
        there.regular
        and there.meta.size == recorded.size
        and (there.meta.uid, there.meta.gid) == (recorded.uid, recorded.gid)
        and there.meta.mode in {recorded.mode, recorded.mode & ~_SPECIAL}
        and _same_time(there, recorded.mtime_ns, one)
    )


def _same_time(there: Facts, recorded_ns: int, one: Foreign) -> bool:
    """The recorded mtime; or its whole second (Lustre, archives), or none: AXL skips the epoch."""
    now_ns = there.meta.mtime_ns
    if now_ns == recorded_ns or now_ns == recorded_ns // _SECOND_NS * _SECOND_NS:
        return True
    return 0 <= recorded_ns < _SECOND_NS and not _is_older(there, one)


def _is_redundant(seen: Seen, temp: Facts, there: Facts) -> bool:
    """Whether the temp name holds nothing that is not published or meant to be replaced."""
    exact = there.regular and same_but_atime(there.meta, seen.entry.meta)
    return exact and temp.regular and temp.ino != there.ino


def _is_older(facts: Facts, one: Foreign) -> bool:
    """Whether this was last changed before the source was: then the transfer never wrote it."""
    if one.changed_ns is None:
        return False
    return max(facts.ctime_ns, facts.meta.mtime_ns) < one.changed_ns - SKEW_NS


def _is_partial(seen: Seen, temp: Facts, one: Foreign) -> bool:
    """Whether nobody will ever copy what is missing; with a vendor, plan.py decides."""
    plain = temp.regular and temp.nlink == 1 and temp.meta.uid in {seen.euid, seen.entry.meta.uid}
    return one.sized and plain and temp.meta.size < seen.entry.meta.size


def _partial(seen: Seen, temp: Facts) -> Plan:
    reason = f"{_of(temp, seen.entry.meta)} had arrived, and nobody copies the rest"
    return Plan(Action.DELETE, Verdict.FAILED, reason)


def _of(there: Facts, recorded: Meta) -> str:
    return f"{there.meta.size} of {recorded.size} bytes"


def _kept(fact: str) -> Plan:
    return Plan(Action.NONE, Verdict.LOST, f"{fact}; it is kept untouched")


def _identity(facts: Facts) -> Identity:
    return Identity(facts.ino, facts.meta.size, facts.meta.mtime_ns)
