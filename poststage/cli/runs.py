"""Which STATEDIRs a post-stage run finalizes, for whom, in what time; one after the other."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from poststage import registry, scheduler
from poststage.cli.common import say
from poststage.config import Settings
from poststage.errors import ExitCode, PoststageError, RunAgainError, UsageError, worst
from poststage.finalize.helping import help_finalize
from poststage.finalize.options import Options
from poststage.finalize.privs import Owner, owner_of
from poststage.finalize.report import Report
from poststage.finalize.work import deadline
from poststage.finalize.worker import finalize_as, stops_noted
from poststage.names import shown
from poststage.registry import Registration
from poststage.scheduler.base import Situation
from poststage.scheduler.waiting import settled

_LEAST_S = 1.0  # for each STATEDIR, however many there are


class Asked(Struct, frozen=True):
    """What the command line and the scheduler's environment ask for."""

    state_dirs: tuple[Path, ...] = ()
    """Empty: what is registered, of `job` or of everybody."""
    scheduler: str | None = None
    """Named on the command line: its environment is believed, and it is asked."""
    job: str | None = None
    user: str | None = None
    deadline_s: float | None = None
    scr: bool = False
    """The one of `state_dirs` is a prefix of SCR's."""


class Target(Struct, frozen=True):
    """One STATEDIR to finalize; `registration` where it was found by that."""

    state_dir: Path
    user: str | None
    registration: Registration | None = None
    scr: bool = False
    """`state_dir` is a prefix of SCR's."""


class Run(Struct, frozen=True):
    """What came of a whole run."""

    job: str
    reports: tuple[Report, ...]


def run(asked: Asked, settings: Settings, options: Options) -> Run:
    """Wait until the job's processes are gone, then finalize what it recorded.

    With one STATEDIR named, what is wrong with it is raised; else it is one report of many.

    Raises:
        PoststageError: nothing was touched.
    """
    left = deadline(seconds(asked, settings))
    here = situation(asked, settings)
    if here.job and not options.dry_run:
        options = _when_gone(here, replace(options, job=here.job), left)
    targets = list(_targets(asked, settings, here))
    if len(asked.state_dirs) == 1:
        only = _finalized(targets[0], replace(options, deadline_s=left()))
        return Run(here.job, (only,))
    reports: list[Report] = []
    with stops_noted() as stopped:
        for number, target in enumerate(in_turn(targets)):
            if stopped() or (reports and left() <= 0):
                reports.append(_not_reached(target))
                continue
            share = max(_LEAST_S, left() / (len(targets) - number))
            reports.append(_one_of_many(target, replace(options, deadline_s=share)))
            gone = here.scheduler != "none" and here.job != ""
            _forget(target, reports[-1], settings, job_gone=gone)
    return Run(here.job, tuple(reports))


def helped(asked: Asked, settings: Settings, options: Options) -> int:
    """Help the first rank with what it finalizes; an exit status, 75 if it was not met."""
    left = deadline(seconds(asked, settings))
    codes = {ExitCode.OK}
    try:
        for target in in_turn(_targets(asked, settings, situation(asked, settings))):
            chosen = replace(options, deadline_s=left())
            codes.add(
                finalize_as(
                    _whom(target, settings), target.state_dir, chosen, finalize=help_finalize
                ).exit_code
            )
    except RunAgainError:  # its worker died: the others take over what it held
        return int(ExitCode.OK)
    except PoststageError as error:  # the first rank says the same in words
        codes.add(error.exit_code)
    return int(worst(codes))


def seconds(asked: Asked, settings: Settings) -> float:
    """How long all of it may take: below the time after which the scheduler kills it."""
    if asked.deadline_s is not None:
        return asked.deadline_s
    if settings.scheduler == "none" or not settings.timeout_s or not _is_asked(asked):
        return settings.deadline_s
    return max(0.0, min(settings.deadline_s, settings.timeout_s - settings.margin_s))


def situation(asked: Asked, settings: Settings) -> Situation:
    """Whom this run is for. A scheduler that nobody named on the command line is not believed:
    in a job's own environment it would be asked whether that job is gone."""
    if not _is_asked(asked):
        return Situation("none")
    name = asked.scheduler or settings.scheduler
    return scheduler.situation(name, os.environ, job=asked.job)


def _is_asked(asked: Asked) -> bool:
    return asked.scheduler is not None or asked.job is not None


def _when_gone(here: Situation, options: Options, left: Callable[[], float]) -> Options:
    known = scheduler.load(here.scheduler)
    if known is None:
        return options
    standing = settled(known, here.job, left if options.wait else lambda: 0.0, say)
    return replace(options, requeued=options.requeued or standing.requeued)


def _targets(asked: Asked, settings: Settings, here: Situation) -> Sequence[Target]:
    user = asked.user or (here.owner if os.geteuid() == 0 else None)
    if asked.state_dirs:
        return [Target(path, user, scr=asked.scr) for path in asked.state_dirs]
    if not settings.state_root:
        raise UsageError(
            "state directory: none was named; nothing was read",
            hint="give --dir: a job's own are found by the site's state_root, and it has none"
            if asked.job
            else "give --dir or set POSTSTAGE_STATE_DIR; the site has no state_root",
        )
    found = registry.registered(Path(settings.state_root), job=here.job, uid=_uid(user))
    return [Target(Path(os.fsdecode(one.state_dir)), str(one.uid), one) for one in found]


def _uid(user: str | None) -> int | None:
    """Whose registrations count: as root everybody's, unless a user is named."""
    if os.geteuid() != 0:
        return os.geteuid()
    if user is None or user.isdecimal():
        return None if user is None else int(user)
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise UsageError(f"user {shown(user)}: is not known here; nothing was read") from error


def _finalized(target: Target, options: Options) -> Report:
    trusted = options.settings.trusted_state_dirs
    if target.scr:
        from poststage.scr.run import finalize_scr, owner_of_prefix

        whom = partial(owner_of_prefix, target.state_dir, target.user, trusted)
        return finalize_as(whom, target.state_dir, options, finalize=finalize_scr)
    return finalize_as(_whom(target, options.settings), target.state_dir, options)


def _whom(target: Target, settings: Settings) -> Callable[[], Owner | None]:
    state_dir, trusted = os.fsencode(target.state_dir), settings.trusted_state_dirs
    return partial(owner_of, state_dir, target.user, trusted)


def _one_of_many(target: Target, options: Options) -> Report:
    try:
        return _finalized(target, options)
    except PoststageError as error:
        where = shown(os.fsencode(target.state_dir))
        return Report(where, error.exit_code, (), (error.message,))


def in_turn(targets: Sequence[Target]) -> list[Target]:
    """Each user's first, then each user's second, …: who registers many keeps nobody waiting."""
    seen: Counter[str | None] = Counter()
    turns = []
    for place, target in enumerate(targets):
        turns.append((seen[target.user], place, target))
        seen[target.user] += 1
    return [target for _, _, target in sorted(turns, key=lambda turn: turn[:2])]


def _not_reached(target: Target) -> Report:
    note = "stopped, or out of time, before its turn came; nothing was touched; run again later"
    return Report(shown(os.fsencode(target.state_dir)), ExitCode.RUN_AGAIN, (), (note,))


def _forget(target: Target, report: Report, settings: Settings, *, job_gone: bool) -> None:
    if target.registration is None or report.needs_attention or report.dry_run:
        return
    try:
        registry.drop(Path(settings.state_root), target.registration, job_gone=job_gone)
    except OSError:  # it is looked at again next time, for nothing
        return
