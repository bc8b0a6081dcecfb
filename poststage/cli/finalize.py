"""`finalize` and `poststage finalize`: publish what has arrived."""

import os
from pathlib import Path

import click

from poststage import config
from poststage.cli.common import (
    dir_option,
    emit_json,
    exit_on_error,
    json_option,
    site_option,
    version_option,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@dir_option
@click.option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
@click.option(
    "--wait/--no-wait", default=True, help="Wait for running transfers (the default) or not."
)
@click.option(
    "--deadline",
    "deadline_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Be done by then, whatever is left; else the site's deadline_s.",
)
@click.option(
    "--publish",
    type=click.Choice(["file", "dataset"]),
    help="Each file as it is ready, or nothing of a dataset until all of it is.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Worker processes; else it chooses."
)
@click.option(
    "--user", metavar="NAME", help="As root: finalize as this user; else STATEDIR's owner."
)
@site_option
@json_option
@version_option
def finalize(
    state_dir: Path,
    *,
    dry_run: bool,
    wait: bool,
    deadline_s: float | None,
    publish: str | None,
    jobs: int | None,
    user: str | None,
    site: Path | None,
    as_json: bool,
) -> None:
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

    \b
    Examples:
      finalize --dir /lustre/me/state
      finalize --dir /lustre/me/state --dry-run
      finalize --dir /lustre/me/state --publish dataset --deadline 540
      finalize --dir /lustre/me/state --json | jq '.datasets[].problems'
    """
    with exit_on_error():
        from poststage.finalize.options import options_of
        from poststage.finalize.privs import owner_of
        from poststage.finalize.worker import finalize_as

        options = options_of(
            config.load(site),
            publish=publish,
            deadline_s=deadline_s,
            wait=wait,
            dry_run=dry_run,
            jobs=jobs,
        )
        trusted = options.settings.trusted_state_dirs
        owner = owner_of(os.fsencode(state_dir), user, trusted)
        report = finalize_as(owner, state_dir, options)
        if as_json:
            from poststage.finalize.report import to_json

            emit_json(to_json(report))
        else:
            from poststage.cli.verdicts import print_report

            print_report(report)
    raise SystemExit(int(report.exit_code))
