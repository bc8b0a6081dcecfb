"""`poststage emulator`: start, stop, look at and upset the emulated burst buffer."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from poststage import config
from poststage.backends.emulator import default_root
from poststage.cli import render
from poststage.cli.common import emit_json, exit_on_error, json_option, say
from poststage.cli.values import PATH, WORD, Number
from poststage.copier import client, daemon
from poststage.copier import protocol as p
from poststage.copier.root import is_free
from poststage.errors import RunAgainError
from poststage.names import shown

TIMEOUT_S = 30.0
Command = TypeVar("Command", bound=Callable[..., Any])


def root_option(command: Command) -> Command:
    """`--root DIR`, passed as `root: Path`, absolute."""
    return click.option(
        "--root",
        metavar="DIR",
        type=PATH,
        envvar="POSTSTAGE_EMULATOR_ROOT",
        callback=lambda _context, _option, value: Path(os.path.abspath(value or _root_here())),
        help="The emulator's own directory; else POSTSTAGE_EMULATOR_ROOT, the site's, "
        "or one in /tmp.",
    )(command)


def _root_here() -> Path:
    """The root that the site's settings name, else the one in /tmp. Raises UsageError."""
    table = config.load(None).backends.get("emulator", {})
    return Path(str(table.get("root") or default_root()))


@click.group()
def emulator() -> None:
    """A burst buffer to try things with: a daemon that copies as a vendor's does.

    \b
    Examples:
      poststage emulator start --root ./emulator --burst-buffer ./bb
      poststage emulator fault --root ./emulator --limit 20
      poststage emulator status --root ./emulator
      poststage emulator stop --root ./emulator
    """


@emulator.command()
@root_option
@click.option(
    "--burst-buffer",
    metavar="DIR",
    type=PATH,
    help="The directory that `detach` takes away; remembered for the next start.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True)
def start(root: Path, burst_buffer: Path | None, *, threads: int) -> None:
    """Start the daemon; returns when it answers.

    Transfers that were stopped or killed go on. Exit status 75 if a daemon has the
    root already; the message says which.

    \b
    Example:
      poststage emulator start --root ./emulator --burst-buffer ./bb
    """
    with exit_on_error():
        arguments = ["--root", str(root), "--threads", str(threads)]
        if burst_buffer is not None:
            arguments += ["--burst-buffer", os.path.abspath(burst_buffer)]
        pid = daemon.spawn("poststage.emulator", arguments)
        say(f"emulator: pid {pid} serves {shown(str(root))}")


@emulator.command()
@root_option
def stop(root: Path) -> None:
    """Stop the daemon; what it copies goes on at the next start.

    Safe to run again: no daemon is no error.

    \b
    Example:
      poststage emulator stop --root ./emulator
    """
    with exit_on_error():
        if not root.is_dir():
            say(f"emulator: {shown(str(root))} is not there; nothing was stopped")
            return
        if not is_free(root):
            with _daemon_of(root) as session:
                session.ask(p.Stop())
            if not is_free(root, timeout_s=TIMEOUT_S):
                raise RunAgainError(f"emulator {shown(str(root))}: is still stopping")
        say(f"emulator: stopped, {shown(str(root))} is kept")


@emulator.command()
@root_option
@json_option
def status(root: Path, *, as_json: bool) -> None:
    """Tell who serves, its transfers, and the faults in force.

    Exit status 75 if nobody answers.

    \b
    Example:
      poststage emulator status --root ./emulator --json
    """
    with exit_on_error():
        document = _status(root)
        if as_json:
            emit_json(document)
        else:
            _print_status(document)


@emulator.command()
@root_option
@click.option("--fail", "fail_pattern", type=WORD, metavar="PATTERN", help="Files like this fail.")
@click.option(
    "--fail-number", type=click.IntRange(1), metavar="N", help="File N of each transfer fails."
)
@click.option(
    "--after",
    "fail_after_bytes",
    type=click.IntRange(0),
    metavar="BYTES",
    help="They fail when so much of them is copied.",
)
@click.option(
    "--limit",
    "limit_mb_s",
    type=Number(1e9),
    metavar="MB/S",
    help="Copy no faster; 0 for no limit.",
)
@click.option(
    "--slow", "slow_s", type=Number(86400), metavar="S", help="Each answer takes S seconds."
)
@click.option("--hang/--no-hang", default=None, help="Accept, and never answer.")
@click.option(
    "--short",
    "short_pattern",
    type=WORD,
    metavar="PATTERN",
    help="Half of such a file is called all.",
)
@click.option(
    "--die-after",
    "die_after_bytes",
    type=click.IntRange(0),
    metavar="BYTES",
    help="SIGKILL itself when so much is copied; once.",
)
@click.option("--clear", is_flag=True, help="Nothing else goes wrong any more.")
@json_option
def fault(root: Path, *, clear: bool, as_json: bool, **wanted: Any) -> None:
    """Make things go wrong; without options, print what does.

    What is not named stays as it is. PATTERN is a shell pattern for the source's last
    name, or for its path if there is a slash in it.

    \b
    Examples:
      poststage emulator fault --fail 'data.3' --after 1000000
      poststage emulator fault --clear --limit 50
    """
    with exit_on_error(), _daemon_of(root) as session:
        given = {key: value for key, value in wanted.items() if value is not None}
        before = {} if clear else _control(session, "faults")
        change = {**before, **given} if given or clear else None
        faults = _control(session, "faults", change)
        if as_json:
            emit_json(faults)
        else:
            say(f"faults in force: {_words(faults)}")


@emulator.command()
@root_option
def detach(root: Path) -> None:
    """Take the burst buffer away, as a job's end does.

    The directory moves into the root, where only the daemon reaches it; transfers that
    have started go on from there.

    \b
    Example:
      poststage emulator detach --root ./emulator
    """
    with exit_on_error(), _daemon_of(root) as session:
        where = str(_control(session, "detach"))
        say(f"emulator: holds what was {shown(where)}")


@contextmanager
def _daemon_of(root: Path) -> Iterator[client.Session]:
    """A session with the daemon; who names a root by hand believes its owner."""
    owner = frozenset({root.stat().st_uid}) if root.is_dir() else frozenset()
    owners = frozenset({0, os.geteuid()}) | owner
    try:
        with client.session(root, TIMEOUT_S, owners=owners) as session:
            yield session
    except client.BackendAwayError as error:
        raise client.BackendAwayError(
            error.message, hint=f"start it: poststage emulator start --root {shown(str(root))}"
        ) from error


def _control(session: client.Session, name: str, value: Any = None) -> Any:
    reply = session.ask(p.Control(name, value))
    return reply.value if isinstance(reply, p.ControlReply) else None


def _status(root: Path) -> dict[str, Any]:
    with _daemon_of(root) as session:
        faults = _control(session, "faults")
        hello = session.ask(p.Hello())
        transfers = [
            _transfer(reply)
            for reply in session.ask_all(p.ListAll())
            if isinstance(reply, p.StatusReply)
        ]
    who = {"pid": hello.pid, "since_ns": hello.since_ns} if isinstance(hello, p.HelloReply) else {}
    return {"root": str(root), **who, "faults": faults, "transfers": transfers}


def _transfer(reply: p.StatusReply) -> dict[str, Any]:
    return {
        "handle": reply.handle,
        "state": reply.state,
        "reason": reply.reason,
        "files": reply.file_count,
        "bytes": reply.size_bytes,
        "bytes_done": reply.bytes_done or 0,
    }


def _print_status(document: dict[str, Any]) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document["since_ns"] / 1e9))
    click.echo(f"emulator {shown(document['root'])}: pid {document['pid']} since {since}")
    click.echo(f"faults in force: {_words(document['faults'])}")
    columns = ("handle", "state", "files", "bytes", "bytes_done")
    rows = [[str(transfer[column]) for column in columns] for transfer in document["transfers"]]
    if rows:
        render.table(("transfer", "state", ">files", ">bytes", ">copied"), rows)
    else:
        click.echo("no transfers")


def _words(faults: dict[str, Any]) -> str:
    words = [f"{key} {shown(str(value))}" for key, value in sorted(faults.items())]
    return ", ".join(words) or "none"
