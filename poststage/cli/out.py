"""`poststage out`: hand files over to the burst buffer's backend."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import structs

from poststage import config
from poststage.agent import handover, ranks, sources
from poststage.agent.agent import STATE_DIR, Existing, open_agent
from poststage.agent.items import Item
from poststage.cli import render
from poststage.cli.common import (
    INTERRUPTED,
    emit_json,
    exit_on_error,
    json_option,
    say,
    site_option,
)
from poststage.cli.values import BYTES_PATH, PATH, WORD
from poststage.errors import ExitCode, UsageError, worst
from poststage.model import TransferState
from poststage.names import shown, to_text
from poststage.statefile import layout

_EPILOG = """\b
Examples:
  mpirun -n 64 poststage out --dataset step.7 /bb/step.7 /lustre/me/step.7
  poststage out result.h5 /lustre/me/
  find /bb/run -type f -printf '%p\\t/lustre/me/%P\\n' |
      poststage out --from-file -
"""


@click.command(epilog=_EPILOG)
@click.argument("source", metavar="[SRC", required=False, type=BYTES_PATH)
@click.argument("destination", metavar="DEST]", required=False, type=BYTES_PATH)
@click.option(
    "--dataset", metavar="NAME", type=WORD, help="The dataset's name; else a new unique one."
)
@click.option(
    "--state-dir",
    metavar="STATEDIR",
    envvar=STATE_DIR,
    type=PATH,
    help="Directory of state files, made if missing; else POSTSTAGE_STATE_DIR.",
)
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in handover.Scope]),
    default=handover.Scope.RANK.value,
    show_default=True,
    help="One state file a rank, a node, or for the whole job.",
)
@click.option(
    "--wait", is_flag=True, help="Wait until the transfers have ended, at most finalize.deadline_s."
)
@click.option("--checksum", is_flag=True, help="Record each file's checksum (reads it once).")
@click.option(
    "--move", is_flag=True, help="Delete each source once its file is published and durable."
)
@click.option(
    "--ends-with-job/--outlives-job",
    default=None,
    help="Cancel what still runs when the job is gone, or not; else agent.ends_with_job.",
)
@click.option(
    "--existing",
    type=click.Choice(["refuse", "new"]),
    default="refuse",
    show_default=True,
    help="Earlier transfers of the dataset that are not over: refuse, or cancel and replace them.",
)
@click.option("--shared", is_flag=True, help="All nodes see the same SRC: share it out job-wide.")
@click.option(
    "--from-file",
    "list_file",
    metavar="LIST",
    type=BYTES_PATH,
    help="Read SOURCE<TAB>DESTINATION lines instead of SRC DEST; - is stdin.",
)
@click.option("-0", "--null", is_flag=True, help="LIST is SOURCE, DESTINATION in turn, NUL-ended.")
@click.option("--backend", metavar="B", help="Another backend than the site's.")
@site_option
@json_option
def out(
    *,
    source: bytes | None,
    destination: bytes | None,
    dataset: str | None,
    state_dir: Path | None,
    scope: str,
    wait: bool,
    checksum: bool,
    move: bool,
    ends_with_job: bool | None,
    existing: Existing,
    shared: bool,
    list_file: bytes | None,
    null: bool,
    backend: str | None,
    site: Path | None,
    as_json: bool,
) -> None:
    """Hand files over to the burst buffer's backend; returns when they are accepted.

    SRC is a file: DEST is its name, or a directory to put it into (one that exists, or
    that ends in a slash). SRC is a directory: DEST is the new tree's root, whether it
    exists or not; symlinks in it stay symlinks.

    Under mpirun every node's ranks share out the node's files; with --shared the whole
    job's ranks share out files that every node sees. Every rank is told the same SRC,
    DEST or LIST; the first rank of the node (of the job) reads them.

    The same --dataset again: changes nothing, says so. `poststage forget` frees its name;
    `poststage resume` goes on with what was stopped; --existing new begins again.

    Exit status: 0 handed over (with --wait: moved), 2 wrong usage, 3 a source cannot be
    handed over (with --wait: a transfer has failed), 75 try again later.
    """
    with exit_on_error():
        with ranks.job() as here, exit_on_error():
            with here.together():
                listing = _listing(source, destination, list_file, null=null)
                _require_one_reader(here, list_file, shared=shared)
                agent = open_agent(state_dir, None, site, backend)
                limit_s = config.load(site).deadline_s
            name, size = here.from_first(dataset or _new_name()), handover.Scope(scope)
            settled = (checksum, move, ends_with_job, existing)
            request = handover.Request(name, size, shared, *settled)
            with _going_on(agent.state_dir, name), agent:
                summary, transfer = handover.hand_over(here, agent, request, listing)
                if wait:
                    summary = handover.waited(here, summary, transfer, limit_s)
        if here.rank == 0:
            _report(summary, agent.state_dir, agent.backend, as_json=as_json)
        raise SystemExit(int(_exit_code(summary)))


@contextmanager
def _going_on(state_dir: Path, dataset: str) -> Iterator[None]:
    """Tell whoever interrupts the block what goes on without it.

    Raises:
        SystemExit: it was interrupted, and something of `dataset` is handed over.
    """
    try:
        yield
    except KeyboardInterrupt:
        directory = state_dir / os.fsdecode(layout.dataset_dir_name(dataset))
        if not any(directory.rglob("*.state")):  # what was not handed over is discarded by now
            raise
        where = f"--dataset {shown(dataset)} --dir {shown(str(state_dir))}"
        say(f"interrupted: what is handed over of dataset {shown(dataset)} goes on")
        say(f"next: `poststage wait {where}`, or `poststage cancel {where}`")
        raise SystemExit(INTERRUPTED) from None


def _listing(
    source: bytes | None, destination: bytes | None, list_file: bytes | None, *, null: bool
) -> Callable[[], Sequence[Item]]:
    """What lists the items, on the rank that does; UsageError if the arguments make no sense."""
    if list_file is not None and source is None:
        return lambda: sources.of_list(list_file, null=null)
    if list_file is None and source is not None and destination is not None and not null:
        return lambda: sources.of_paths(source, destination)
    raise UsageError(
        "out: takes SRC and DEST, or --from-file LIST (with -0 if it likes); nothing was recorded",
        hint="poststage out --help says more",
    )


def _require_one_reader(here: ranks.Ranks, list_file: bytes | None, *, shared: bool) -> None:
    if list_file == b"-" and here.nodes > 1 and not shared:
        raise UsageError(
            f"list -: each of {here.nodes} nodes needs a list, and stdin is one rank's; "
            "nothing was recorded",
            hint="give a file that each node sees, or --shared",
        )


def _new_name() -> str:
    return f"out-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _report(summary: handover.Summary, state_dir: Path, backend: str, *, as_json: bool) -> None:
    if as_json:
        document = structs.asdict(summary)
        document["dataset"] = to_text(summary.dataset.encode("utf-8", "surrogateescape"))
        document["states"] = [state.value for state in summary.states]
        emit_json({**document, "state_dir": str(state_dir), "backend": backend})
    what = f"{render.count(summary.files, 'file')}, {render.size(summary.size_bytes)}"
    say(
        f"handed over {what} as dataset {shown(summary.dataset)} "
        f"({render.count(summary.parts, 'state file')} in {shown(str(state_dir))})"
    )
    if summary.states:
        say(f"the backend says: {_counted(summary.states)}")
    say(f"next: finalize --dir {shown(str(state_dir))}")


def _counted(states: Sequence[TransferState]) -> str:
    kinds = sorted(set(states), key=lambda state: state.value)
    return ", ".join(f"{states.count(state)} {state.value}" for state in kinds)


def _exit_code(summary: handover.Summary) -> ExitCode:
    """OK if nobody waited or all has arrived; else what has not."""
    return worst({_code(state) for state in summary.states})


def _code(state: TransferState) -> ExitCode:
    if state is TransferState.FULLSUCCESS:
        return ExitCode.OK
    return ExitCode.NEEDS_PERSON if state.ended else ExitCode.RUN_AGAIN
