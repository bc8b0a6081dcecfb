"""`poststage resume`: let stopped transfers go on where their sources are."""

from pathlib import Path

import click

from poststage import config
from poststage.agent.known import Known, Probes
from poststage.agent.reopened import Earlier
from poststage.backends.base import Answer
from poststage.cli.common import (
    dataset_option,
    dir_option,
    exit_on_error,
    json_option,
    say,
    site_option,
)
from poststage.cli.owner import become_owner
from poststage.cli.transfers import read, show
from poststage.errors import ExitCode, PoststageError, worst
from poststage.model import TransferState


@click.command()
@dir_option
@dataset_option
@site_option
@json_option
def resume(*, state_dir: Path, dataset: str | None, site: Path | None, as_json: bool) -> None:
    """Continue transfers that were stopped, from what is proven to be copied.

    For a backend that ends with its job (`local`): run this in a next job, on the node
    where the sources still are. One of which a source has changed or is missing is not
    resumed. Transfers that run or have ended are left alone; those that were never
    started are `finalize`'s. Safe to run again.

    Exit status: 0 nothing is stopped any more, 75 something still is, or a backend did not answer.

    \b
    Example:
      poststage resume --dir /lustre/me/state
    """
    with exit_on_error():
        settings = config.load(site)
        become_owner(state_dir, settings)
        transfers, codes = read(state_dir, dataset)
        with Probes(settings, state_dir) as probes:
            answers = probes.answers(transfers)
        after = {
            one.path: _resumed(one, answers[one.path], settings, state_dir) for one in transfers
        }
        show(transfers, after, as_json=as_json, others=bool(codes))
        went_on = sum(
            answers[path].state is TransferState.STOPPED and _goes_on(answer.state)
            for path, answer in after.items()
        )
        if transfers:
            say(f"{went_on} of {len(transfers)} open transfers were stopped and go on")
        stuck = {ExitCode.RUN_AGAIN for answer in after.values() if not _goes_on(answer.state)}
        raise SystemExit(int(worst(codes | stuck)))


def _resumed(one: Known, answer: Answer, settings: config.Settings, state_dir: Path) -> Answer:
    """What the backend says of `one` after it was told to go on; `answer` if it was not told."""
    if answer.state is not TransferState.STOPPED:
        return answer
    try:
        with Earlier(one.path, state_dir, settings) as earlier:
            return earlier.resume()
    except PoststageError as error:
        return Answer(TransferState.STOPPED, reason=error.message)


def _goes_on(state: TransferState) -> bool:
    return state not in {TransferState.STOPPED, TransferState.UNKNOWN}
