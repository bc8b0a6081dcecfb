"""What all commands share: how they fail, their common options, their JSON."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from poststage import __version__
from poststage.cli.values import PATH, WORD
from poststage.errors import ExitCode, PoststageError
from poststage.names import shown

INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it
CUT_PIPE: Final = 141  # 128 + SIGPIPE

# Faults of the machine that may pass; any other OSError that nobody explained is a bug.
_MAY_PASS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOMEM,
        errno.EMFILE,
        errno.EINTR,
    }
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

_AT_ONCE = 1000  # items of a list that are written together
_OURS = str(Path(__file__).parent.parent)

Command = TypeVar("Command", bound=Callable[..., Any])


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn what goes wrong in the block into words on stderr and an exit status.

    `PoststageError` gives its message, its hint and its exit code. An interrupt gives
    130, a closed pipe 141 without a word. Anything else is a bug, status 1, in one
    line that names the place; with POSTSTAGE_DEBUG=1 the traceback stands before it.

    Raises:
        SystemExit: in place of every exception but click's own, which pass.
    """
    try:
        yield
    except (click.exceptions.Exit, click.ClickException, click.Abort):
        raise
    except KeyboardInterrupt:
        _fail("interrupted; the same command can be run again", "", INTERRUPTED)
    except PoststageError as error:
        _fail(error.message, error.hint, error.exit_code)
    except OSError as error:
        _fail_of_machine(error)
    except Exception as error:  # noqa: BLE001 - the process's edge; reported as a bug
        _fail_as_bug(error)


def _fail_of_machine(error: OSError) -> None:
    if error.errno == errno.EPIPE:
        drop_output()
        raise SystemExit(CUT_PIPE)
    if isinstance(error, FileNotFoundError) and _is_homeless():
        fact = "current directory: was removed; a relative path names nothing there"
        _fail(fact, "go to a directory that is there, or give whole paths", ExitCode.USAGE)
    if error.errno not in _MAY_PASS | _FORBIDDEN:
        _fail_as_bug(error)
    named = isinstance(error.filename, (str, bytes))  # a number where a descriptor was given
    place = f"{os.fsdecode(error.filename)}: " if named else ""
    code = ExitCode.PERMISSION if error.errno in _FORBIDDEN else ExitCode.RUN_AGAIN
    _fail(f"{place}{error.strerror}", "", code)


def _is_homeless() -> bool:
    """Whether the current directory has no name any more."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _fail_as_bug(error: Exception) -> None:
    if os.environ.get("POSTSTAGE_DEBUG"):
        say(traceback.format_exc())
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
    frame = (ours or frames)[-1]
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    hint = "please report it; POSTSTAGE_DEBUG=1 shows where it came from"
    _fail(f"internal error in {place}: {what}", hint, ExitCode.BUG)


def _fail(message: str, hint: str, code: int) -> None:
    print_error(message, hint)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        drop_output()  # one failure is told once
    raise SystemExit(int(code))


def print_error(message: str, hint: str = "") -> None:
    """`error: message` and `hint: …` on stderr, each on one line, fit for a terminal."""
    say(f"error: {shown(message)}")
    if hint:
        say(f"hint: {shown(hint)}")


def say(text: str) -> None:
    """One line for people, on stderr; a stderr that is gone is no reason to stop."""
    from poststage.cli import render  # a page of help says nothing

    with suppress(OSError):
        lines = (render.wrapped(line, sys.stderr) for line in text.split("\n"))
        click.echo("\n".join(lines), err=True)


def drop_output() -> None:
    """Send stdout nowhere, so that the interpreter's last flush has nobody to complain of."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def emit_json(document: object) -> None:
    """`document` (plain values) as one JSON document on stdout: ASCII, keys sorted."""
    click.echo(_json(document))


def emit_json_list(document: object, key: str, items: Iterable[object]) -> None:
    """`emit_json`, with `items` in the one empty list `key` of `document`, each on its line.

    They are made and written one at a time. No string in `document` can be taken for that
    list: quotes are escaped in strings.
    """
    before, empty, after = _json(document).partition(f'"{key}": []')
    click.echo(before + empty.removesuffix("]"), nl=False)
    texts = (json.dumps(item, ensure_ascii=True, sort_keys=True) for item in items)
    separator = "\n"
    while some := list(islice(texts, _AT_ONCE)):
        click.echo(separator + ",\n".join(some), nl=False)
        separator = ",\n"
    click.echo(("]" if empty else "") + after)


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=True, sort_keys=True, indent=2)


def site_option(command: Command) -> Command:
    """`--site FILE`, passed as `site: Path | None`; `config.load(site)` knows the rest."""
    return click.option(
        "--site",
        metavar="FILE",
        type=PATH,
        help="Site settings; else POSTSTAGE_SITE, /etc/poststage/site.toml, packaged ones.",
    )(command)


def dir_option(command: Command) -> Command:
    """`--dir STATEDIR`, passed as `state_dir: Path`; also from POSTSTAGE_STATE_DIR."""
    return click.option(
        "--dir",
        "state_dir",
        metavar="STATEDIR",
        envvar="POSTSTAGE_STATE_DIR",
        required=True,
        type=PATH,
        help="Directory of state files; else POSTSTAGE_STATE_DIR.",
    )(command)


def dataset_option(command: Command) -> Command:
    """`--dataset NAME`, passed as `dataset: str | None`; see `naming.require_dataset`."""
    return click.option(
        "--dataset", metavar="NAME", type=WORD, help="Only this dataset; 2 if there is none."
    )(command)


def json_option(command: Command) -> Command:
    """`--json`, passed as `as_json: bool`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
    )(command)


def version_option(command: Command) -> Command:
    """`--version`: for a command that is installed under a name of its own."""
    return click.version_option(__version__, prog_name="poststage")(command)
