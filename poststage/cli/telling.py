"""Telling others than the terminal of a run: the scheduler, the log, the site's script."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from poststage import eventlog
from poststage.cli.common import say
from poststage.config import Settings
from poststage.errors import ExitCode, PoststageError, worst
from poststage.finalize import reason
from poststage.finalize.events import events
from poststage.finalize.report import Report, to_json
from poststage.names import shown


class Told:
    """What the scheduler is going to be told."""

    def __init__(self) -> None:
        self.code: int = ExitCode.BUG
        self.reason = reason.meaning(ExitCode.BUG)


@contextmanager
def scheduler_told(*, enabled: bool) -> Iterator[Told]:
    """Print the result line when the block ends, however it ends; nothing before it is believed."""
    told = Told()
    try:
        yield told
    except PoststageError as error:
        told.code, told.reason = int(error.exit_code), error.message
        raise
    except OSError as error:
        told.code, told.reason = int(ExitCode.RUN_AGAIN), str(error)
        raise
    finally:
        if enabled:
            click.echo(reason.result_line(told.code, told.reason))


@contextmanager
def logged(where: Sequence[Path], job: str, settings: Settings) -> Iterator[eventlog.Log]:
    """The site's log for the block; what ends it before there is a report is logged too.

    It is open before anybody gives up his rights, so it may be root's alone.
    """
    log = eventlog.Log(settings.log_to, settings.log_format)
    try:
        yield log
    except PoststageError as error:
        names = shown(" ".join(map(str, where)))
        log.write(events(Report(names, error.exit_code, (), (error.message,)), job))
        raise
    finally:
        if log.wrong:
            say(f"note: {log.wrong}")
        log.close()


def summed_up(reports: Sequence[Report]) -> tuple[int, str]:
    """Exit status and reason of `reports` together."""
    return int(worst({report.exit_code for report in reports})), reason.reason(reports)


def document(reports: Sequence[Report]) -> dict[str, object]:
    """What --json prints, of the same shape however many STATEDIRs there are.

    `runs` has one for each, `datasets` all of theirs, each with its `state_dir`.
    """
    code, words = summed_up(reports)
    runs = [_plain(report) for report in reports]
    datasets = [
        {**dataset, "state_dir": run["state_dir"]}
        for run in runs
        for dataset in run.pop("datasets")
    ]
    return {"exit_code": code, "reason": words, "runs": runs, "datasets": datasets}


def _plain(report: Report) -> dict[str, Any]:
    plain = to_json(report)
    assert isinstance(plain, dict)
    return plain


def admins_told(reports: Sequence[Report], job: str, log: eventlog.Log, settings: Settings) -> None:
    """Write the site's log and run its script; what goes wrong there is said and no more."""
    if any(report.dry_run for report in reports):
        return
    log.write(event for report in reports for event in events(report, job))
    if settings.report_script and reports:
        words = _script(reports, job, settings)
        if words:
            say(f"note: {words}")


def _script(reports: Sequence[Report], job: str, settings: Settings) -> str:
    """Run the site's script with the reports as JSON on its stdin; what went wrong, or ""."""
    text = json.dumps({**document(reports), "job": job})
    code = worst({report.exit_code for report in reports})
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "POSTSTAGE_EXIT": str(int(code)),
        "POSTSTAGE_JOB": job,
        "POSTSTAGE_REASON": reason.reason(reports),
    }
    what = f"report script {shown(settings.report_script)}"
    try:
        ended = subprocess.run(
            [settings.report_script],
            input=text.encode("ascii"),
            stdout=subprocess.DEVNULL,
            env=env,
            timeout=settings.script_timeout_s,
            check=False,
        )
    except OSError as error:
        return f"{what}: cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"{what}: was killed after {settings.script_timeout_s:g} s"
    return "" if ended.returncode == 0 else f"{what}: ended with status {ended.returncode}"
