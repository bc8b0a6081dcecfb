"""How one dataset stands, and what to do next: pure functions of what was read and answered."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from poststage.cli.render import count
from poststage.cli.survey import Part
from poststage.errors import ExitCode
from poststage.model import TransferState, Verdict

_EXAMPLES = 3  # names given in a sentence


class Standing(Struct, frozen=True):
    """One dataset in numbers."""

    dataset: str
    parts_seen: int
    parts: int
    files: int
    size_bytes: int
    done_parts: int
    """Parts of which everything is published."""
    recording: int
    """State files of which the agent has not yet said that they are whole."""
    verdicts: Mapping[Verdict, int]
    open_entries: int
    transfers: Mapping[TransferState, int]
    """How the transfers of open parts stand at their backends; empty if nobody was asked."""
    missing: tuple[int, ...]
    """Numbers of parts that nobody has seen, at most a few."""
    damage: tuple[str, ...]
    """What is wrong with state files that could not be read, at most a few."""
    damaged: bool
    """Whether one of them is damaged, and not only out of reach."""
    cut_off: int = 0
    """State files whose agent ended before all was recorded: nothing of them was started."""
    open_directories: int = 0
    """Those of `open_entries` that are directories."""
    lost: int = 0
    """Open entries of which the last run of finalize found nothing, with nothing running."""
    reason: str = ""
    """Why a transfer is unknown or failed, the first one."""

    @property
    def done(self) -> bool:
        """Whether all of it is published."""
        return self.done_parts == self.parts > 0 and not (self.open_entries or self.damage)


def standing(
    directory: bytes,
    parts: Sequence[Part],
    transfers: Mapping[str, tuple[TransferState, str]],
    *,
    lost: int = 0,
) -> Standing:
    """The dataset whose state files are `parts`; `transfers` is id → (state, reason).

    `lost` is what the last run of finalize says (`last_word.lost`).
    """
    readable = _newest([part for part in parts if not part.damage and part.parts])
    seen = {part.part for part in [*readable, *parts] if part.part is not None}
    total = max((part.parts for part in readable), default=0)
    verdicts: Counter[Verdict] = Counter()
    for part in readable:
        verdicts.update(part.verdicts)
    asked = [transfers[part.id] for part in readable if part.id in transfers]
    bad = [
        f"{part.name.decode('ascii', 'replace')}: {part.damage}" for part in parts if part.damage
    ]
    return Standing(
        dataset=readable[0].dataset if readable else os.fsdecode(directory) or ".",
        parts_seen=len(seen),
        parts=total,
        files=sum(part.files for part in readable),
        size_bytes=sum(part.size_bytes for part in readable),
        done_parts=sum(part.done for part in readable),
        recording=sum(part.held and not part.recorded for part in parts),
        verdicts=dict(+verdicts),
        open_entries=sum(part.open_entries for part in readable if not part.cut_off),
        transfers=dict(Counter(state for state, _ in asked)),
        missing=_missing(seen, total),
        damage=tuple(bad[:_EXAMPLES]),
        damaged=any(part.damaged for part in parts),
        cut_off=sum(part.cut_off for part in parts),
        open_directories=sum(part.open_directories for part in readable if not part.cut_off),
        lost=lost,
        reason=next((reason for _, reason in asked if reason), ""),
    )


def _newest(parts: Sequence[Part]) -> list[Part]:
    """One state file a part: an open one is newer than one of that number set aside."""
    by_number: dict[int | None, Part] = {}
    for part in sorted(parts, key=lambda part: not part.done):
        by_number[part.part] = part
    return list(by_number.values())


def _missing(seen: set[int], total: int) -> tuple[int, ...]:
    found: list[int] = []
    for number in range(total):
        if number not in seen:
            found.append(number)
        if len(found) == _EXAMPLES:
            break
    return tuple(found)


_WORD = {
    TransferState.NOTSTARTED: "not started",
    TransferState.INPROGRESS: "running",
    TransferState.STOPPED: "stopped",
    TransferState.FULLSUCCESS: "arrived",
    TransferState.PARTIALSUCCESS: "partly arrived",
    TransferState.FAILED: "failed",
    TransferState.CANCELED: "cancelled",
    TransferState.UNKNOWN: "unknown",
}


def sentence(now: Standing) -> str:
    """How it stands in a few words."""
    if now.done:
        return "done"
    words: list[str] = []
    if now.damage:
        words.append(f"unreadable: {now.damage[0]}")
    if now.recording:
        words.append(f"{now.recording} being recorded")
    if now.cut_off:
        words.append(f"{now.cut_off} never recorded to its end: its agent was ended")
    if now.transfers:
        states = ", ".join(f"{n} {_WORD[state]}" for state, n in now.transfers.items())
        words.append(f"transfers: {states}")
    if now.reason and now.reason not in {_WORD[state] for state in now.transfers}:
        words.append(now.reason)
    if now.verdicts:
        words.append(", ".join(f"{n} {verdict.value}" for verdict, n in now.verdicts.items()))
    if now.open_entries:
        words.append(_open(now) + (f", {now.lost} of them lost" * bool(now.lost)))
    if now.missing:
        more = now.parts - now.parts_seen - len(now.missing)
        numbers = ", ".join(map(str, now.missing)) + (f" and {more} more" if more else "")
        words.append(f"not seen: part {numbers}")
    return "; ".join(words) or "nothing recorded"


def _open(now: Standing) -> str:
    """`8 open`; directories are named, since the column of files does not count them."""
    files, directories = now.open_entries - now.open_directories, now.open_directories
    if not directories:
        return f"{files} open"
    named = count(directories, "director/y/ies")
    return f"{files} open and {named}" if files else f"{named} open"


def code_of(now: Standing) -> ExitCode:
    """The exit status that tells a script how it stands, by what is recorded alone."""
    if now.damaged:
        return ExitCode.DATA
    if now.damage:
        return ExitCode.PERMISSION
    if now.done:
        return ExitCode.OK
    if now.lost and not now.recording:
        return ExitCode.NEEDS_PERSON
    return ExitCode.RUN_AGAIN if now.open_entries or now.recording else ExitCode.NEEDS_PERSON


def advice(now: Standing) -> str:
    """What to do next, for a person; "" when there is nothing to do."""
    if now.damaged:
        return "keep the damaged file and look at it with `poststage show FILE`"
    if now.damage:
        return "run this as the owner of the state files"
    if now.done:
        return "nothing; `poststage forget` removes the record"
    if now.transfers.get(TransferState.STOPPED):
        return "`poststage resume` where the source is, or `poststage cancel` and `finalize`"
    if now.transfers.get(TransferState.UNKNOWN):
        return "see that the backend answers, then `finalize`; nothing is deleted until then"
    if now.transfers.get(TransferState.INPROGRESS):
        return "`finalize` waits for what is running and publishes what arrives"
    if now.lost and not now.recording:
        return (
            "a person looks for what is lost (`finalize` looks again and names it), "
            "then `poststage forget --failed`"
        )
    if {TransferState.CANCELED, TransferState.FAILED} & now.transfers.keys():
        return "`finalize` publishes what had arrived and deletes what is partial"
    if now.open_entries or now.recording:
        return "`finalize` publishes what has arrived"
    if any(verdict.needs_person for verdict in now.verdicts):
        return "a person looks at what failed (`poststage show`), then `poststage forget --failed`"
    if now.cut_off:
        return (
            "nothing was started: hand it over again, it takes the place; or "
            "`poststage forget --failed`"
        )
    if now.missing:
        return (
            "find out why a part was never recorded (the dataset is not complete), "
            "then `poststage forget --failed`"
        )
    return "`finalize` sets the record aside"
