"""What is to be done with one file: a pure function of what was observed."""

from msgspec import Struct

from poststage.errors import ExitCode
from poststage.finalize.seen import Facts, Fate, Seen, is_prior, same_but_atime
from poststage.model import Named, Verdict
from poststage.names import shown


class Action(Named):
    """The one change that is made for a file."""

    NONE = "none"
    PUBLISH = "publish"
    """Metadata, then the destination name, replacing nothing."""
    REPLACE = "replace"
    """Metadata, then the destination name in place of what was recorded there."""
    TAKE_NAME = "take the name"
    """Conflict: the temp file is newer and takes the name, what stands there steps aside."""
    STEP_ASIDE = "step aside"
    """Conflict: the temp file is older (or a directory stands there) and becomes the copy."""
    SET_ASIDE = "set aside"
    """After a crash in TAKE_NAME: the temp name holds what stood there; it steps aside."""
    DROP_TEMP = "drop temp name"
    """After a crash between link and unlink: the file has its name and the temp name too."""
    DROP_PRIOR = "drop what was replaced"
    """After a crash in REPLACE: the temp name holds the recorded file that was replaced."""
    RESTORE = "restore metadata"
    """Metadata of a file that has its destination name already (AXL's transfers alone)."""
    DELETE = "delete"
    """Unlink the partial temp file of a failed transfer."""


class Plan(Struct, frozen=True):
    """`action`, and the verdict once it has succeeded."""

    action: Action
    verdict: Verdict
    reason: str = ""
    code: ExitCode | None = None
    """Where it is not the verdict's own exit code."""


_PUBLISHED = Plan(Action.PUBLISH, Verdict.PUBLISHED)
CONFLICT = "the destination changed after the transfer was created; both are kept"
_DIRECTORY = "a directory stands at the destination; it was left alone"


def displaced(why: str, aside: bytes) -> str:
    """The reason of a conflict in which the transfer's file took the name."""
    return f"{why}; what stood there is now {shown(aside)}"


def stepped_aside(why: str, aside: bytes) -> str:
    """The reason of a conflict in which the transfer's file became the copy."""
    return f"{why}; the file of this transfer is now {shown(aside)}"


def _why(seen: Seen) -> str:
    is_directory = seen.destination is not None and seen.destination.directory
    return _DIRECTORY if is_directory else CONFLICT


def plan_file(seen: Seen) -> Plan:
    """The plan for a FILE entry."""
    if seen.fate is Fate.PENDING:
        return Plan(Action.NONE, Verdict.RUNNING, seen.reason)
    if seen.directory_missing:
        return _without_directory(seen)
    if seen.temp is None:
        return _without_temp(seen)
    if seen.fate is Fate.UNKNOWN:
        return Plan(Action.NONE, Verdict.UNKNOWN, seen.reason)
    return _with_temp(seen, seen.temp)


def _with_temp(seen: Seen, temp: Facts) -> Plan:
    """The transfer has ended, and something stands at the temp name."""
    published = seen.destination is not None and _fits(seen.destination, seen)
    if published and is_prior(temp, seen.entry.prior):
        return Plan(Action.DROP_PRIOR, Verdict.PUBLISHED)
    if published and _is_twin(temp, seen.destination):
        return Plan(Action.DROP_TEMP, Verdict.PUBLISHED)
    if seen.fate is Fate.FAILED:
        return _failed(seen, temp)
    if published and _is_displaced(seen, temp):
        return Plan(Action.SET_ASIDE, Verdict.CONFLICT, CONFLICT)
    return _finished(seen, temp)


def _without_directory(seen: Seen) -> Plan:
    if seen.fate is Fate.FAILED:
        return Plan(Action.NONE, Verdict.FAILED, seen.reason)
    reason = "the destination's directory is not there; is its file system mounted?"
    if seen.fate is Fate.UNKNOWN:
        reason = seen.reason
    return Plan(Action.NONE, Verdict.UNKNOWN, reason)


def _without_temp(seen: Seen) -> Plan:
    destination, entry = seen.destination, seen.entry
    if destination is not None and _fits(destination, seen):
        if seen.aside is not None:
            return Plan(Action.NONE, Verdict.CONFLICT, displaced(CONFLICT, seen.aside_name))
        return Plan(Action.NONE, Verdict.PUBLISHED)
    if seen.aside is not None and same_but_atime(seen.aside.meta, entry.meta):
        return Plan(Action.NONE, Verdict.CONFLICT, stepped_aside(_why(seen), seen.aside_name))
    if seen.fate is Fate.FAILED:
        return Plan(Action.NONE, Verdict.FAILED, seen.reason)
    if seen.fate is Fate.UNKNOWN:
        return Plan(Action.NONE, Verdict.UNKNOWN, seen.reason)
    reason = "the temp file is missing and the destination is not the recorded file"
    return Plan(Action.NONE, Verdict.LOST, reason)


def _failed(seen: Seen, temp: Facts) -> Plan:
    if temp.directory:
        return _kept("the temp name is a directory")
    return Plan(Action.DELETE, Verdict.FAILED, seen.reason)


def _finished(seen: Seen, temp: Facts) -> Plan:
    """The transfer has ended and did not fail for this file: is the temp file what it should be?"""
    entry, twin = seen.entry, _twin(seen, temp)
    if not temp.regular:
        return _kept("the temp name is not a regular file")
    if temp.nlink != (1 if twin is None else 2):
        return _kept("the temp file has other names (hard links)")
    if temp.meta.uid not in {seen.euid, entry.meta.uid}:
        return _kept(f"the temp file belongs to uid {temp.meta.uid}")
    if temp.meta.size != entry.meta.size:
        return _wrong_size(seen, temp)
    if seen.closed_mtime_ns not in {None, temp.meta.mtime_ns} and (
        temp.meta.mtime_ns != entry.meta.mtime_ns
    ):
        return _kept("the temp file was written after its transfer had ended")
    if seen.fate is Fate.UNPROVEN and entry.checksum is None:
        return _kept(f"{seen.reason}; nothing proves that this file is whole")
    return twin or placed(seen)


def _twin(seen: Seen, temp: Facts) -> Plan | None:
    """The plan if the file has one of its final names already: a crash between link and unlink."""
    if _is_twin(temp, seen.destination):
        return Plan(Action.DROP_TEMP, Verdict.PUBLISHED)
    if _is_twin(temp, seen.aside):
        reason = stepped_aside(_why(seen), seen.aside_name)
        return Plan(Action.DROP_TEMP, Verdict.CONFLICT, reason)
    return None


def _is_twin(temp: Facts, other: Facts | None) -> bool:
    return other is not None and temp.ino == other.ino


def _wrong_size(seen: Seen, temp: Facts) -> Plan:
    recorded = seen.entry.meta.size
    if seen.fate is Fate.UNPROVEN and temp.meta.size < recorded:
        return Plan(Action.DELETE, Verdict.FAILED, seen.reason)
    return _kept(f"the temp file has {temp.meta.size} bytes, {recorded} were recorded")


def plan_taken(seen: Seen) -> Plan:
    """The plan for a prepared temp file whose destination name turned out to be taken."""
    if seen.temp is not None and _is_twin(seen.temp, seen.destination):
        return Plan(Action.DROP_TEMP, Verdict.PUBLISHED)
    return placed(seen)


def placed(seen: Seen) -> Plan:
    """How a good temp file (or the symlink made under its name) gets its name."""
    destination, entry = seen.destination, seen.entry
    if not seen.looked or destination is None:
        return _PUBLISHED
    if destination.directory:
        return Plan(Action.STEP_ASIDE, Verdict.CONFLICT, _why(seen))
    if is_prior(destination, entry.prior):
        return Plan(Action.REPLACE, Verdict.PUBLISHED)
    newer = entry.meta.mtime_ns >= destination.meta.mtime_ns
    return Plan(Action.TAKE_NAME if newer else Action.STEP_ASIDE, Verdict.CONFLICT, CONFLICT)


def _kept(fact: str) -> Plan:
    """No action: the temp name is not what the record says, and a person has to look."""
    return Plan(Action.NONE, Verdict.LOST, f"{fact}; it is kept untouched")


def _fits(facts: Facts, seen: Seen) -> bool:
    """Whether the destination is the recorded file: published by an earlier run."""
    entry = seen.entry
    return (
        facts.regular
        and not is_prior(facts, entry.prior)
        and same_but_atime(facts.meta, entry.meta)
    )


def _is_displaced(seen: Seen, temp: Facts) -> bool:
    """Whether the temp name holds what TAKE_NAME moved away before a crash.

    The destination fits the record. TAKE_NAME makes the conflict copy first; a person may
    have taken that away since, but what is of another size and has no copy may as well be
    a temp file that its backend left short, and gets no name.
    """
    if _is_twin(temp, seen.aside):
        return True
    if temp.meta.mtime_ns in {seen.entry.meta.mtime_ns, seen.closed_mtime_ns}:
        return False
    return seen.aside is not None or temp.meta.size == seen.entry.meta.size
