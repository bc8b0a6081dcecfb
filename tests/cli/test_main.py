"""The frame: which commands there are, how they are named, what help and usage errors look like."""

import subprocess
import sys

import click
import pytest

from poststage import __version__
from poststage.cli.main import COMMANDS, load
from poststage.errors import EXIT_MEANING
from tests.cli.run import environment, run

NAMES = list(COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_an_example_at_80_columns(name: str) -> None:
    ended = run(name, "--help")
    assert ended.code == 0, ended.err
    pages = [ended.out]
    command = load(name)
    if isinstance(command, click.Group):
        pages += [run(name, sub, "--help").out for sub in command.commands]
    text = "".join(pages)
    assert "Example" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_lists_each_command_and_each_exit_status() -> None:
    ended = run("--help")
    assert all(f"\n  {name} " in ended.out for name in NAMES)
    for code, meaning in EXIT_MEANING.items():
        assert f"{int(code)}  {meaning}" in ended.out
    assert "_POSTSTAGE_COMPLETE=bash_source" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert run("-h").out == ended.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_knows_the_commands(shell: str) -> None:
    source = run(_POSTSTAGE_COMPLETE=f"{shell}_source")
    assert "poststage" in source.out
    at = "st" if shell == "fish" else "1"
    ended = run(_POSTSTAGE_COMPLETE=f"{shell}_complete", COMP_WORDS="poststage st", COMP_CWORD=at)
    assert "status" in ended.out


def test_finalize_is_the_same_command_under_its_own_name() -> None:
    own, sub = run("--help", program="finalize"), run("finalize", "--help")
    assert own.out.splitlines()[1:] == sub.out.splitlines()[1:]
    assert own.out.startswith("Usage: finalize ")


@pytest.mark.parametrize("program", ["poststage", "finalize"])
def test_both_programs_tell_their_version(program: str) -> None:
    ended = run("--version", program=program)
    assert (ended.code, ended.out) == (0, f"poststage, version {__version__}\n")


@pytest.mark.parametrize(
    "args",
    [
        ("stat",),
        ("status", "--nope"),
        ("status",),
        ("show",),
        ("show", "a", "b"),
        ("\x1b[31m",),
        ("site", "shw"),
        ("finalize", "--deadline", "soon"),
    ],
)
def test_a_usage_error_is_2_with_the_usage_and_a_hint_and_nothing_raw(
    args: tuple[str, ...],
) -> None:
    ended = run(*args)
    assert ended.code == 2
    assert ended.out == ""
    usage, error, hint = ended.err.splitlines()
    assert usage.startswith("Usage: poststage")
    assert error.startswith("error: ")
    assert hint.endswith("--help says more")
    assert ended.err.replace("\n", "").isprintable()


def test_a_file_name_in_a_usage_error_is_shown_and_not_sent_to_the_terminal() -> None:
    ended = run("show", "x", "\x1b[2J\n")
    assert ended.code == 2
    assert "\x1b" not in ended.err


def test_no_command_is_the_help() -> None:
    ended = run()
    assert ended.code == 2
    assert "Commands:" in ended.out + ended.err


def test_the_package_can_be_run_without_its_scripts() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "poststage", "--version"], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout.split()[-1]) == (0, __version__.encode())


_INTERRUPTED = """
import os, signal, click
from poststage.cli.main import _run

@click.command()
def command() -> None:
    os.kill(os.getpid(), signal.SIGINT)

_run(command, "x", [])
"""


def test_an_interrupt_ends_a_command_with_130_and_a_word() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        capture_output=True,
        text=True,
        env=environment({}),
        check=False,
    )
    assert ended.returncode == 130
    message = "error: interrupted; the same command can be run again"
    assert ended.stderr.splitlines()[-1] == message  # an empty line parts it from ^C
