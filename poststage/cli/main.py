"""The commands `poststage` and `finalize`: which there are, and how a process ends."""

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import NamedTuple

import click

from poststage.cli.common import drop_output, exit_on_error, print_error, say, version_option
from poststage.errors import EXIT_MEANING, ExitCode


class Lazy(NamedTuple):
    """A command that is imported when it is used; `summary` is its line in the help."""

    where: str
    summary: str


COMMANDS: dict[str, Lazy] = {
    "out": Lazy("poststage.cli.out:out", "Hand files over to the burst buffer."),
    "wait": Lazy("poststage.cli.transfers:wait", "Wait until the transfers have ended."),
    "cancel": Lazy("poststage.cli.transfers:cancel", "Make the burst buffer stop."),
    "resume": Lazy("poststage.cli.resume:resume", "Continue what a job's end stopped."),
    "finalize": Lazy("poststage.cli.finalize:finalize", "Publish what has arrived."),
    "status": Lazy("poststage.cli.status:status", "Tell how each dataset stands."),
    "show": Lazy("poststage.cli.show:show", "Read one state file."),
    "forget": Lazy("poststage.cli.forget:forget", "Remove the records of what is done."),
    "site": Lazy("poststage.cli.site:site", "Settings in force, and where from."),
    "simulate": Lazy("poststage.cli.simulate:simulate_command", "Time finalize for a large job."),
    "emulator": Lazy("poststage.cli.emulator:emulator", "A burst buffer to try things with."),
}

_EPILOG = """\b
Examples:
  export POSTSTAGE_STATE_DIR=/lustre/me/state
  mpirun -n 4 poststage out --dataset step.0 /bb/step.0 /lustre/me/step.0
  poststage status
  finalize

\b
Shell completion (bash; zsh and fish likewise):
  eval "$(_POSTSTAGE_COMPLETE=bash_source poststage)"

\b
Exit status:
"""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a file's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `cmd_name`, imported now; None if there is none."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])


def load(name: str) -> click.Command:
    """The click command behind `name` of COMMANDS."""
    module, _, attribute = COMMANDS[name].where.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


def _exit_lines() -> str:
    return "".join(f"  {code:>3d}  {meaning}\n" for code, meaning in EXIT_MEANING.items())


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG + _exit_lines(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@version_option
def poststage() -> None:
    """Give a job's files their names after a burst buffer has moved them.

    Every command can be run again at any time.
    """


def main(args: Sequence[str] | None = None) -> None:
    """The console script `poststage`; never returns."""
    _run(poststage, "poststage", args)


def finalize_main(args: Sequence[str] | None = None) -> None:
    """The console script `finalize`: the same as `poststage finalize`; never returns."""
    with exit_on_error():
        command = load("finalize")
    _run(command, "finalize", args)


def _run(command: click.Command, prog_name: str, args: Sequence[str] | None) -> None:
    if isinstance(sys.stdout, TextIOWrapper):  # it may be closed, or a test's
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is
    with exit_on_error():
        try:
            status = command.main(args, prog_name=prog_name, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            say(error.format_message())  # a group's help: lines of ours
            status = int(ExitCode.USAGE)
        except click.UsageError as error:
            _usage(error)
            status = int(ExitCode.USAGE)
        except click.ClickException as error:
            print_error(error.format_message())
            status = error.exit_code
        except click.Abort:
            raise KeyboardInterrupt from None
        finally:
            _flush()
        raise SystemExit(status if isinstance(status, int) else 0)


def _usage(error: click.UsageError) -> None:
    """The usage line and the error; click's own would print names as they are."""
    if error.ctx is not None:
        say(error.ctx.get_usage())
    print_error(
        error.format_message(),
        "" if error.ctx is None else f"{error.ctx.command_path} --help says more",
    )


def _flush() -> None:
    """Write out stdout now, while an error still has words and an exit status."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop_output()
        raise
