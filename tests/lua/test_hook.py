"""The Slurm hook under each Lua that is here, law by law (laws.lua), and its style."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from poststage.site import hooks

LAWS = Path(__file__).with_name("laws.lua")
ROOT = LAWS.parents[2]
LUAS = ("lua5.1", "lua5.2", "lua5.3", "lua5.4")


def present(program: str) -> str:
    """`program`'s path; the test is skipped without it, and fails where CI promised it."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs {program}")
        pytest.skip(f"{program} is not installed")
    return found


def names() -> list[str]:
    """The laws, as laws.lua defines them."""
    lines = LAWS.read_text(encoding="utf-8").splitlines()
    return [
        line.removeprefix("function laws.").partition("(")[0]
        for line in lines
        if line.startswith("function laws.")
    ]


@pytest.mark.parametrize("lua", LUAS)
@pytest.mark.parametrize("law", names())
def test_the_hook_keeps(law: str, lua: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "spool").mkdir()
    poll = str(law.startswith("polled")).lower()
    values = {"bin": f"{tmp_path}/bin", "spool": f"{tmp_path}/spool", "poll": poll}
    (tmp_path / "hook.lua").write_text(hooks.hook("slurm-lua", values))
    ended = subprocess.run(
        [present(lua), LAWS, tmp_path / "hook.lua", tmp_path, law],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr


def test_luacheck_finds_nothing() -> None:
    checked = subprocess.run(
        [present("luacheck"), "--no-color", "--no-cache", "site-configs", "tests/lua"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert checked.returncode == 0, checked.stdout
