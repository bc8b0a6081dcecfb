"""`finalize` and `poststage finalize`: publish what has arrived."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from poststage.cli.common import (
    emit_json,
    exit_on_error,
    json_option,
    say,
    site_option,
    version_option,
)
from poststage.cli.values import PATH, SCHEDULERS, SECONDS, WORD
from poststage.errors import UsageError
from poststage.names import shown

if TYPE_CHECKING:
    from poststage.config import Settings
    from poststage.finalize.ranks import Rank

STATE_DIR = "POSTSTAGE_STATE_DIR"
Command = TypeVar("Command", bound=Callable[..., Any])


def _scheduler_options(command: Command) -> Command:
    """What a scheduler's hook tells; `--dir` stands among them for its place in the help."""
    for option in reversed(
        [
            click.option(
                "--scheduler",
                type=click.Choice(SCHEDULERS),
                help="Run by this one: believe its environment, and ask it about the job.",
            ),
            click.option(
                "--job",
                metavar="ID",
                type=WORD,
                help="Wait until this job's processes are gone; without --dir, what it recorded.",
            ),
            click.option(
                "--requeued", is_flag=True, help="The job runs again: publish nothing of it."
            ),
            click.option(
                "--detach",
                is_flag=True,
                help="See that one runs in the background; exit status 75 while it does.",
            ),
            click.option(
                "--reason", is_flag=True, help="Print a last line for the scheduler on stdout."
            ),
            click.option("--detached", is_flag=True, hidden=True),
        ]
    ):
        command = option(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--dir",
    "state_dirs",
    metavar="STATEDIR",
    multiple=True,
    type=PATH,
    help="Directory of state files, or several; else POSTSTAGE_STATE_DIR, else all that "
    "is registered in the site's state root.",
)
@click.option(
    "--scr",
    metavar="PREFIX",
    type=PATH,
    help="SCR's prefix directory: its pending datasets, and SCR's own index of them.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
@click.option(
    "--wait/--no-wait", default=True, help="Wait for running transfers (the default) or not."
)
@click.option(
    "--deadline",
    "deadline_s",
    metavar="SECONDS",
    type=SECONDS,
    help="Be done by then, whatever is left; else the site's deadline_s.",
)
@click.option(
    "--publish",
    type=click.Choice(["file", "dataset"]),
    help="Each file as it is ready, or nothing of a dataset until all of it is.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many at once: processes, or threads where each call waits; else it chooses.",
)
@click.option(
    "--user",
    metavar="NAME",
    type=WORD,
    help="As root: finalize as this user; else STATEDIR's owner.",
)
@click.option(
    "--mpi/--no-mpi",
    default=True,
    help="Started by mpirun, share the work with the other ranks (the default) or not.",
)
@_scheduler_options
@site_option
@json_option
@version_option
def finalize(*, mpi: bool, detach: bool, reason: bool, **options: Any) -> None:
    """Give the files of finished transfers their destination names.

    Waits for what still runs, restores owner, mode and times, deletes the partial
    files of failed transfers, keeps everything else, and says what is whole. Safe
    to run again at any time: a second run changes nothing.

    \b
    Exit status:
       0  all done
       3  some files need a person (failed, lost or in conflict)
      65  a state file is damaged; none of its files was touched
      75  run again later (still running, or a fault that may pass)
      77  not permitted
    Interrupted (Ctrl-C, SIGTERM) it stops at the next file, and reports: 75, or
    0 if that was the last one.

    --json is of one shape: `runs`, a STATEDIR each, and `datasets`, all of them.

    \b
    Examples:
      finalize --dir /lustre/me/state
      finalize --dir /lustre/me/state --dry-run
      finalize --dir /lustre/me/state --publish dataset --deadline 540
      finalize --dir /lustre/me/state --json | jq '.datasets[].problems'
      finalize --scr /lustre/me/run
      mpirun -n 8 finalize --dir /lustre/me/state
      finalize --scheduler slurm --job 4711 --dir /lustre/me/state
      finalize --scheduler slurm --job 4711 --dir /lustre/me/state --detach
    """
    # A hook's children inherit blocked signals, and then nobody could stop this but by SIGKILL.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    named = options["state_dirs"] or options["scr"] or options["job"]
    if not named and os.environ.get(STATE_DIR):
        options["state_dirs"] = (Path(os.environ[STATE_DIR]),)
    with exit_on_error():
        from poststage import config  # a page of help does not load the settings
        from poststage.cli.telling import scheduler_told

        rank = _rank() if mpi else None
        if rank is not None and rank.number > 0:
            raise SystemExit(_helped(config.load(options["site"]), detach=detach, **options))
        with scheduler_told(enabled=reason) as told:
            settings = config.load(options.pop("site"))
            if options["scr"] and (detach or options["state_dirs"] or options["requeued"]):
                raise UsageError("finalize: --scr goes with none of --dir, --requeued, --detach")
            if detach:
                from poststage.cli.detaching import see_to_it

                told.code, told.reason = see_to_it(settings, **options)
                if not reason:
                    say(f"{shown(told.reason)}; exit status {told.code}")
            else:
                ranks = 1 if rank is None else rank.of
                told.code, told.reason = _finalized(settings, ranks=ranks, **options)
    raise SystemExit(int(told.code))


def _rank() -> "Rank | None":
    """Which rank this is, where a launcher has started several."""
    from poststage.finalize.ranks import rank_of

    return rank_of(os.environ)


def _helped(
    settings: "Settings",
    *,
    state_dirs: tuple[Path, ...],
    job: str | None,
    user: str | None,
    deadline_s: float | None,
    scheduler: str | None,
    jobs: int | None,
    **others: Any,
) -> int:
    """Exit status of a rank that is not the first: it says nothing, and does what it is given."""
    from poststage.cli import runs
    from poststage.cli.telling import logged
    from poststage.finalize.options import options_of

    if others["scr"] or others["detach"] or others["requeued"] or others["dry_run"]:
        return 0  # for the first one alone
    asked = runs.Asked(state_dirs, scheduler, job, user, deadline_s)
    with logged(state_dirs, job or "", settings) as log:
        return runs.helped(asked, settings, options_of(settings, jobs=jobs, log=log.write))


def _finalized(
    settings: "Settings",
    *,
    state_dirs: tuple[Path, ...],
    scr: Path | None,
    scheduler: str | None,
    job: str | None,
    user: str | None,
    deadline_s: float | None,
    requeued: bool,
    detached: bool,
    as_json: bool,
    **choices: Any,
) -> tuple[int, str]:
    """Exit status and reason of a run in the foreground."""
    from poststage.cli import detached as background
    from poststage.cli import runs, telling, waiting
    from poststage.finalize.options import options_of

    if requeued and choices["dry_run"]:
        raise UsageError("finalize: --requeued has no plan to print with --dry-run")
    where = state_dirs if scr is None else (scr,)
    asked = runs.Asked(where, scheduler, job, user, deadline_s, scr is not None)
    alone = background.alone(state_dirs[0]) if detached else nullcontext()
    with alone, telling.logged(where, job or "", settings) as log:
        with waiting.shown(runs.seconds(asked, settings)) as waits:
            options = options_of(settings, requeued=requeued, log=log.write, waits=waits, **choices)
            run = runs.run(asked, settings, options)
        code, reason = telling.summed_up(run.reports)
        if detached:
            background.keep_result(state_dirs[0], code, reason)
        telling.admins_told(run.reports, run.job, log, settings)
    if as_json:
        emit_json(telling.document(run.reports))
    else:
        from poststage.cli.verdicts import print_report

        for report in run.reports:
            print_report(report)
    return code, reason
