"""`poststage forget`: remove the records of datasets of which nothing is open any more."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from msgspec import Struct

from poststage import config
from poststage.cli import render
from poststage.cli.common import dataset_option, dir_option, exit_on_error, say, site_option
from poststage.cli.emptied import emptied, remove, remove_if_empty
from poststage.cli.last_word import last_word, left_behind, lost
from poststage.cli.letting_go import let_go
from poststage.cli.naming import require_dataset
from poststage.cli.owner import become_owner
from poststage.cli.survey import Part, groups, open_below, open_state_dir, read_group
from poststage.durable import fsops
from poststage.durable.lock import held, try_lock
from poststage.errors import ExitCode, PermissionRefusedError, worst
from poststage.finalize.report import DatasetReport
from poststage.finalize.scan import Group
from poststage.names import shown, split
from poststage.statefile import verdicts
from poststage.statefile.layout import LOCK_NAME, report_name

_TIMEOUT_S = 10.0
_MISSING = 3  # parts that are named
_LISTED = 20  # lines of what is kept


class Decision(Struct, frozen=True):
    """What becomes of one dataset's records."""

    group: Group
    dataset: str
    kept: str = ""
    """Why they stay; "" if they go."""
    code: ExitCode = ExitCode.OK
    parts: tuple[Part, ...] = ()
    """What goes, if it goes."""
    left: tuple[bytes, ...] = ()
    """Temp files that nobody has a record of any more once these are gone."""


@click.command()
@dir_option
@site_option
@dataset_option
@click.option(
    "--failed",
    is_flag=True,
    help="Also what failed, is lost, missing, in conflict or was cut off: you have seen it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed; change nothing.")
def forget(
    state_dir: Path, site: Path | None, dataset: str | None, *, failed: bool, dry_run: bool
) -> None:
    """Remove the records of datasets that are done.

    Removes state files that were set aside (.done), the directories that this
    empties, and their reports; never a file that a job wrote. A dataset of which
    anything is open, damaged or (without --failed) failed or missing keeps all its records.
    What the backends keep of them goes too, where they can be asked.
    With --failed also what the last run of finalize found lost, with nothing
    running, and what an agent was killed before it had recorded; temp files that
    are left without a record are named and stay. Safe to run again at any time.

    \b
    Examples:
      poststage forget --dir /lustre/me/state --dry-run
      poststage forget --dataset step.0 --failed
    """
    with exit_on_error():
        settings = config.load(site)
        become_owner(state_dir, settings)
        with open_state_dir(state_dir) as fd, _locked(state_dir, needed=not dry_run):
            decisions = []
            for decision in _decisions(state_dir, fd, dataset, failed=failed):
                keep = dry_run or decision.kept
                decisions.append(decision if keep else _remove(fd, decision))
            left = list(emptied(fd, dataset))
            for name in [] if dry_run else left:
                remove(fd, name)
        if not decisions and not left:
            require_dataset(state_dir, dataset)
        _report(decisions, dry_run=dry_run)
        if not dry_run:
            gone = [part for one in decisions if not one.kept for part in one.parts]
            let_go(gone, settings, state_dir)
    raise SystemExit(int(worst({decision.code for decision in decisions})))


@contextmanager
def _locked(state_dir: Path, *, needed: bool) -> Iterator[None]:
    """No finalizer runs meanwhile; a dry run does not even make the lock file."""
    if not needed:
        yield
        return
    what = shown(os.fsencode(state_dir))
    with ExitStack() as stack:
        try:
            lock = held(state_dir / os.fsdecode(LOCK_NAME), timeout_s=_TIMEOUT_S, what=what)
            stack.enter_context(lock)
        except OSError as error:
            raise PermissionRefusedError(
                f"{what}: its lock cannot be taken: {error.strerror}; nothing was touched"
            ) from error
        yield


def _decisions(
    state_dir: Path, state_dir_fd: int, dataset: str | None, *, failed: bool
) -> Iterator[Decision]:
    for group, refused in groups(state_dir):
        parts = [] if refused else read_group(state_dir_fd, group)
        name = next((part.dataset for part in parts if part.dataset), os.fsdecode(group.directory))
        if dataset in {None, name}:
            if refused:
                yield Decision(group, name, refused, ExitCode.PERMISSION)
            else:
                word = last_word(state_dir, group)
                yield decide(group, name, parts, failed=failed, word=word)


def decide(
    group: Group,
    dataset: str,
    parts: Sequence[Part],
    *,
    failed: bool,
    word: DatasetReport | None = None,
) -> Decision:
    """Whether the records of `dataset` may go: all of them or none.

    `word` is the last run of finalize's, if nothing was recorded after it. It says whether a part
    was missing then: one that is missing now was perhaps removed by a `forget` that was stopped,
    which removes the report first.
    """
    gone = lost(word)
    for part in sorted(parts, key=lambda part: not part.damage):
        if part.damage:
            code = ExitCode.DATA if part.damaged else ExitCode.PERMISSION
            return Decision(group, dataset, f"{shown(part.name)}: {part.damage}", code)
        if kept := _why_kept(part, gone, failed=failed):
            return Decision(group, dataset, f"{shown(part.name)}: {kept}")
    if word and not failed and word.parts_seen < word.parts:
        missing = ", ".join(map(str, word.missing_parts[:_MISSING]))
        return Decision(group, dataset, f"no state file of part {missing}; --failed forgets it")
    left = tuple(left_behind(word)) if word and gone else ()
    return Decision(group, dataset, parts=tuple(parts), left=left)


def _why_kept(part: Part, gone: int, *, failed: bool) -> str:
    """Why the record `part` stays, "" if it may go; `gone` entries of its dataset are lost."""
    if part.done:
        return ""
    if part.cut_off:
        return "" if failed else "its agent was ended at recording it; --failed forgets it"
    if not part.closed and not (part.recorded and gone):
        return "is still open; run finalize"
    if failed:
        return ""
    ended = [f"{n} {verdict.value}" for verdict, n in part.verdicts.items()]
    ended += [f"{part.open_entries} lost or undone"] if part.open_entries else []
    return f"{', '.join(ended)}; --failed forgets it"


def _remove(state_dir_fd: int, decision: Decision) -> Decision:
    """Remove the report, the state files and the emptied directory, in this order.

    Stopped anywhere, it can be done again: the state files tell the same until the last.
    """
    group = decision.group
    above, name = split(b"/" + group.directory)
    above_fd = open_below(state_dir_fd, above)
    try:
        dir_fd = open_below(state_dir_fd, group.directory)
        try:
            if any(_is_recording(dir_fd, state) for state in group.pending):
                return Decision(group, decision.dataset, "its agent holds a state file of it")
            _unlink(above_fd, report_name(name))
            for state in group.done + group.pending:
                _unlink(dir_fd, state)
                verdicts.drop(dir_fd, state)
            for place in {os.path.dirname(state) for state in group.done + group.pending} - {b""}:
                remove_if_empty(dir_fd, place)
        finally:
            os.close(dir_fd)
        if name:
            remove_if_empty(above_fd, name)
    finally:
        os.close(above_fd)
    return decision


def _is_recording(dir_fd: int, name: bytes) -> bool:
    """Whether an agent holds the state file's lock, which ends with its process."""
    try:
        fd = fsops.open_file(dir_fd, name)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def _unlink(dir_fd: int, name: bytes) -> None:
    try:
        fsops.unlink(dir_fd, name)
    except FileNotFoundError:
        return


def _report(decisions: Sequence[Decision], *, dry_run: bool) -> None:
    gone = [decision for decision in decisions if not decision.kept]
    kept = [decision for decision in decisions if decision.kept]
    records = sum(len(one.group.done) + len(one.group.pending) for one in gone)
    verb = "would forget" if dry_run else "forgot"
    say(f"{verb} {render.count(len(gone), 'dataset')} ({render.count(records, 'state file')})")
    left = [path for decision in gone for path in decision.left]
    for path in left[:_LISTED]:
        say(f"left, without a record: {shown(path)}")
    if len(left) > _LISTED:
        say(f"left {len(left) - _LISTED} more")
    for decision in kept[:_LISTED]:
        say(f"kept {shown(decision.dataset) or '.'}: {decision.kept}")
    if len(kept) > _LISTED:
        say(f"kept {len(kept) - _LISTED} more")
