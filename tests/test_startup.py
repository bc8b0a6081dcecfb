"""What a command loads before it does anything: a post-stage node may have none of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from poststage.cli.main import COMMANDS

_DUMP = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
sys.argv[0] = "{name}"
from poststage.cli.main import {function}
{function}()
"""


def loaded(*args: str, function: str = "main") -> set[str]:
    """The modules that the command `args` had loaded when it ended."""
    program = _DUMP.format(name="poststage", function=function)
    ended = subprocess.run(
        [sys.executable, "-c", program, *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.strip().splitlines()[-1]))


def vendors(modules: set[str]) -> set[str]:
    """The backends' own modules among `modules`."""
    common = {"poststage.backends", "poststage.backends.base"}
    return {name for name in modules if name.startswith("poststage.backends")} - common


def own(modules: set[str]) -> set[str]:
    """The suite's modules among `modules`."""
    return {name for name in modules if name.partition(".")[0] == "poststage"}


# Of ours, all that a page of help needs; of others', nothing but click and Python's own.
_FRAME = {"poststage", "poststage.errors", "poststage.names", "poststage.cli"}
_FRAME |= {f"poststage.cli.{name}" for name in ("common", "main", "values")}
_OTHERS = {"mpi4py", "rich", "msgspec", "xxhash", "filelock"}


@pytest.mark.parametrize(
    ("args", "function"), [(["--help"], "finalize_main"), (["finalize", "--help"], "main")]
)
def test_help_of_finalize_loads_its_page_and_nothing_else(args: list[str], function: str) -> None:
    modules = loaded(*args, function=function)
    assert own(modules) == _FRAME | {"poststage.cli.finalize"}
    assert modules & (_OTHERS | {"tomllib", "multiprocessing", "ctypes"}) == set()


# The emulator's own command is about a backend.
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "emulator"])
def test_help_of_no_command_loads_mpi_or_a_vendor(command: str) -> None:
    modules = loaded(command, "--help")
    assert {"mpi4py", "matplotlib", "bench"} & modules == set()
    assert vendors(modules) == set()


def test_a_run_with_nothing_to_do_loads_no_mpi_no_rich_and_no_vendor(tmp_path: Path) -> None:
    modules = loaded("--dir", str(tmp_path), function="finalize_main")
    assert {
        "mpi4py",
        "rich",
        "poststage.agent",
        "poststage.emulator",
    } & modules == set()
    assert vendors(modules) == set()


def test_the_help_of_the_whole_suite_loads_no_command() -> None:
    modules = loaded("--help")
    assert own(modules) == _FRAME


def test_the_check_sees_what_is_loaded() -> None:
    assert "rich" not in loaded("site", "show")  # stdout is no terminal
    assert vendors(loaded("site", "show")) >= {"poststage.backends.emulator"}
