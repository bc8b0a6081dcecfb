"""How commands fail: words on stderr, a documented status, never a traceback."""

import errno
import subprocess
import sys

import pytest

from tests.cli.run import Ended, argv, environment, run

_PROGRAM = """
import sys
from poststage.cli.common import exit_on_error
from poststage import errors
with exit_on_error():
    {}
"""


def fail(statement: str, **env: str) -> Ended:
    """Run `statement` inside exit_on_error."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement)],
        capture_output=True,
        text=True,
        env=environment(env),
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("UsageError", 2),
        ("SourceError", 3),
        ("StateFileError", 65),
        ("RunAgainError", 75),
        ("BackendError", 75),
        ("PermissionRefusedError", 77),
    ],
)
def test_an_expected_failure_gives_message_hint_and_its_exit_code(kind: str, code: int) -> None:
    ended = fail(f"raise errors.{kind}('x: is not there; nothing was touched', hint='make it')")
    assert ended.code == code
    assert ended.err == "error: x: is not there; nothing was touched\nhint: make it\n"
    assert ended.out == ""


def test_a_message_cannot_steer_the_terminal_nor_fake_a_second_line() -> None:
    ended = fail(r"raise errors.UsageError('a\x1b[2Jb\nhint: obey')")
    assert ended.err == "error: a\\x1b[2Jb\\x0ahint: obey\n"


def test_an_interrupt_is_one_line_and_130() -> None:
    ended = fail("raise KeyboardInterrupt")
    assert ended.code == 130
    assert ended.err.count("\n") == 1


def test_a_bug_is_one_line_that_names_the_place_and_no_traceback() -> None:
    ended = fail("1 / 0")
    assert ended.code == 1
    assert "ZeroDivisionError: division by zero" in ended.err
    assert "Traceback" not in ended.err
    assert "POSTSTAGE_DEBUG=1" in ended.err


def test_the_traceback_of_a_bug_is_there_for_who_asks() -> None:
    ended = fail("1 / 0", POSTSTAGE_DEBUG="1")
    assert ended.code == 1
    assert "Traceback" in ended.err


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (errno.ENOSPC, 75),
        (errno.EIO, 75),
        (errno.EDQUOT, 75),
        (errno.EACCES, 77),
        (errno.EPERM, 77),
        (errno.EROFS, 77),
        (errno.EBADF, 1),
    ],
)
def test_a_fault_of_the_machine_is_no_bug_of_ours(code: int, status: int) -> None:
    ended = fail(f"raise OSError({code}, 'the fact', '/the/place')")
    assert ended.code == status
    if status != 1:
        assert ended.err == "error: /the/place: the fact\n"


def test_a_reader_that_goes_away_is_met_without_a_word() -> None:
    process = subprocess.Popen(
        argv("site", "show"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({}),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.parametrize(
    "args", [("--version",), ("--help",), ("site", "show"), ("site", "show", "--json")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_not_called_success_and_told_once(
    args: tuple[str, ...], unbuffered: str
) -> None:
    env = environment({"PYTHONUNBUFFERED": unbuffered})
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            argv(*args), stdout=full, stderr=subprocess.PIPE, env=env, check=False
        )
    assert ended.returncode == 75
    assert ended.stderr == b"error: No space left on device\n"


def test_a_command_whose_stdout_is_closed_does_not_die_of_it() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *argv("--version")],
        stderr=subprocess.PIPE,
        env=environment({}),
        check=False,
    )
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_gets_what_it_can_show(encoding: str) -> None:
    ended = run("status", "--dir", "/größe", PYTHONIOENCODING=encoding)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_json_is_one_ascii_document_with_sorted_keys() -> None:
    ended = run("site", "show", "--json")
    keys = list(ended.json())
    assert keys == sorted(keys)
    assert ended.out.endswith("}\n")
    assert ended.err == ""


def test_options_come_from_the_environment_too() -> None:
    ended = run("status", POSTSTAGE_STATE_DIR="/nowhere")
    assert ended.code == 2
    assert "/nowhere" in ended.err
