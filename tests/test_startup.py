"""What a command loads before it does anything: a post-stage node may have none of it."""

import json
import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("args", "function"), [(["--help"], "finalize_main"), (["finalize", "--help"], "main")]
)
def test_help_of_finalize_loads_no_mpi_no_rich_and_no_backend(
    args: list[str], function: str
) -> None:
    modules = loaded(*args, function=function)
    assert {"mpi4py", "rich", "poststage.agent", "poststage.emulator"} & modules == set()
    assert vendors(modules) == set()


def test_the_help_of_the_whole_suite_loads_no_command() -> None:
    modules = loaded("--help")
    commands = {name for name in modules if name.startswith("poststage.cli.")}
    assert commands == {"poststage.cli.common", "poststage.cli.values", "poststage.cli.main"}


def test_help_of_out_loads_no_mpi() -> None:
    assert "mpi4py" not in loaded("out", "--help")


def test_the_check_sees_what_is_loaded() -> None:
    assert "rich" not in loaded("site", "show")  # stdout is no terminal
    assert vendors(loaded("site", "show")) >= {"poststage.backends.emulator"}
