"""`poststage wait` and `poststage cancel`: the transfers of a STATEDIR as a whole."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from poststage import config
from poststage.agent import known, poll, zombie
from poststage.agent.known import Known, Probes
from poststage.backends.base import Answer
from poststage.cli import alike, foreign
from poststage.cli.common import (
    dataset_option,
    dir_option,
    emit_json,
    exit_on_error,
    json_option,
    print_error,
    say,
    site_option,
)
from poststage.cli.naming import require_dataset
from poststage.cli.owner import become_owner
from poststage.cli.values import BYTES_PATH, SECONDS
from poststage.errors import ExitCode, PoststageError, worst
from poststage.model import TransferState
from poststage.names import shown, to_text


@click.command()
@dir_option
@dataset_option
@click.option(
    "--timeout",
    "timeout_s",
    type=SECONDS,
    metavar="SECONDS",
    help="Give up after so long; else the site's finalize.deadline_s.",
)
@site_option
@json_option
def wait(
    *,
    state_dir: Path,
    dataset: str | None,
    timeout_s: float | None,
    site: Path | None,
    as_json: bool,
) -> None:
    """Wait until every transfer has ended at its backend. Changes nothing.

    Exit status: 0 all have arrived, 3 one has failed or was cancelled, 75 one has not
    ended in time or was stopped. `finalize` has still to be run.

    \b
    Example:
      poststage wait --dir /lustre/me/state --timeout 600
    """
    with exit_on_error():
        settings = config.load(site)
        become_owner(state_dir, settings)
        transfers, codes = read(state_dir, dataset)
        limit_s = settings.deadline_s if timeout_s is None else timeout_s
        with Probes(settings, state_dir) as probes:
            answers = _waited(probes, transfers, limit_s)
        show(transfers, answers, as_json=as_json, others=bool(codes))
        raise SystemExit(int(worst(codes | {_code(answer.state) for answer in answers.values()})))


@click.command()
@dir_option
@dataset_option
@click.option(
    "--temp",
    metavar="FILE",
    type=BYTES_PATH,
    help="Only the transfer that this temp file names, its state file there or not.",
)
@site_option
@json_option
def cancel(
    *, state_dir: Path, dataset: str | None, temp: bytes | None, site: Path | None, as_json: bool
) -> None:
    """Make the backends stop what has not ended, and record it. Safe to run again.

    Afterwards `finalize` publishes what had arrived and deletes partial temp files; the
    sources are not touched. The name of a stray temp file of an old job, ours or AXL's for
    IBM's burst buffer, leads to whoever may still write it: --temp.

    Exit status: 0 all have ended, 75 a backend did not answer: run it again.

    \b
    Examples:
      poststage cancel --dir /lustre/me/state --dataset step.7
      poststage cancel --dir ./state --temp .x.0123456789abcdef-0.poststage
    """
    with exit_on_error():
        settings = config.load(site)
        become_owner(state_dir, settings)
        if temp is not None:
            raise SystemExit(int(_zombie_cancelled(temp, settings, state_dir, as_json=as_json)))
        transfers, codes = read(state_dir, dataset)
        with Probes(settings, state_dir) as probes:
            answers = {one.path: _cancelled(probes, one) for one in transfers}
        show(transfers, answers, as_json=as_json, others=bool(codes))
        if transfers and all(answer.state.ended for answer in answers.values()):
            say("next: finalize publishes what had arrived and deletes partial temp files")
        elif transfers:
            say("next: run this again when the backends answer; until then nothing is deleted")
        codes |= {ExitCode.RUN_AGAIN for answer in answers.values() if not answer.state.ended}
        raise SystemExit(int(worst(codes)))


def _zombie_cancelled(
    temp: bytes, settings: config.Settings, state_dir: Path, *, as_json: bool
) -> ExitCode:
    """Cancel what the temp file `temp` names; the exit status."""
    found = zombie.of_temp(os.path.basename(temp))
    with Probes(settings, state_dir) as probes:
        answer = zombie.cancel(found, probes, settings.allowed_backends)
    if as_json:
        document = {"tag": found.tag, "handle": found.handle}
        emit_json([{**document, "state": answer.state.value, "reason": answer.reason}])
    reason = f": {shown(answer.reason)}" if answer.reason else ""
    say(f"transfer {found.tag or found.handle}: {answer.state.value}{reason}")
    return ExitCode.OK if answer.state.ended else ExitCode.RUN_AGAIN


def read(state_dir: Path, dataset: str | None) -> tuple[list[Known], set[ExitCode]]:
    """The open transfers, and the exit codes of those that cannot be read (reported here)."""
    transfers: list[Known] = []
    codes: set[ExitCode] = set()
    for one in known.transfers(state_dir, dataset):
        if isinstance(one, PoststageError):
            print_error(one.message, one.hint)
            codes.add(one.exit_code)
        else:
            transfers.append(one)
    codes |= foreign.tell(state_dir, dataset)
    if not (transfers or codes):
        require_dataset(state_dir, dataset)
    return transfers, codes


def show(
    transfers: Sequence[Known], answers: Mapping[bytes, Answer], *, as_json: bool, others: bool
) -> None:
    """How each stands, on stderr; or one JSON document on stdout.

    `others`: there are some that are told of already.
    """
    if as_json:
        emit_json([_document(one, answers[one.path]) for one in transfers])
        return
    for line in alike.lines(_said(one, answers[one.path]) for one in transfers):
        say(line)
    if not (transfers or others):
        say("no open transfers")


def _said(one: Known, answer: Answer) -> tuple[str, int, str]:
    said = shown(reason_of(answer))
    reason = f": {said}" if said else ""
    return shown(one.dataset) or "?", one.part, f"{answer.state.value}{reason}"


def reason_of(answer: Answer) -> str:
    """Why, in the backend's words: of the whole, else of its first file that has a reason."""
    reasons = (answer.files[index].reason for index in sorted(answer.files))
    return answer.reason or next(filter(None, reasons), "")


def _document(one: Known, answer: Answer) -> dict[str, object]:
    return {
        "state_file": to_text(one.path),
        "dataset": to_text(one.dataset.encode("utf-8", "surrogateescape")),
        "part": one.part,
        "state": answer.state.value,
        "reason": reason_of(answer),
    }


def _waited(probes: Probes, transfers: Sequence[Known], timeout_s: float) -> Mapping[bytes, Answer]:
    """The answers when every transfer is settled, or when the time is over."""
    current = {one.path: one for one in transfers}
    answers: dict[bytes, Answer] = {}

    def ask() -> bool:
        waiting = [
            one
            for one in current.values()
            if one.path not in answers or not poll.is_settled(answers[one.path].state)
        ]
        answers.update(probes.answers([_again(one, current) for one in waiting]))
        return all(poll.is_settled(answer.state) for answer in answers.values())

    poll.until(ask, bool, timeout_s)
    return answers


def _again(one: Known, current: dict[bytes, Known]) -> Known:
    """`one` read again while its agent is at it: it may have got its handle."""
    if one.busy or not one.recorded:
        try:
            current[one.path] = known.load(one.path)
        except PoststageError:
            return one  # set aside or damaged meanwhile; the backend is asked as before
    return current[one.path]


def _cancelled(probes: Probes, one: Known) -> Answer:
    """Record the wish first: whatever happens then, the finalizer knows of it."""
    try:
        known.record_cancelled(one.path)
        answer = probes.answers([one])[one.path]
        if answer.state.ended:
            return answer
        handle = probes.handle(one)
        if handle is None:
            return Answer(TransferState.CANCELED, reason="the backend was never told of it")
        return probes.of(one.backend).cancel(handle)
    except PoststageError as error:
        return Answer(TransferState.UNKNOWN, reason=error.message)


def _code(state: TransferState) -> ExitCode:
    if state is TransferState.FULLSUCCESS:
        return ExitCode.OK
    return ExitCode.NEEDS_PERSON if state.ended else ExitCode.RUN_AGAIN
