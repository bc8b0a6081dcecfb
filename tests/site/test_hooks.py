"""Hooks work as they stand; a site's values are put into their settings and nowhere else."""

import subprocess
from pathlib import Path

import pytest

from poststage import config
from poststage.errors import UsageError
from poststage.site import hooks
from tests.cli.run import run

ROOT = Path(__file__).parents[2]
KINDS = [kind.name for kind in hooks.kinds()]
ALL = [f"{kind.name}/{hook}" for kind in hooks.kinds() for hook in kind.hooks]


def test_every_folder_of_site_configs_is_a_kind() -> None:
    assert [path.name for path in sorted((ROOT / "site-configs").iterdir())] == KINDS
    assert all(kind.title for kind in hooks.kinds())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_s_settings_are_valid(kind: str) -> None:
    settings = config.load(hooks.toml_of(kind))
    assert settings.site == kind
    if settings.timeout_s:
        assert settings.margin_s < settings.timeout_s


@pytest.mark.parametrize("name", ALL)
def test_each_hook_has_its_paths_filled_in_and_is_otherwise_as_it_was(name: str) -> None:
    before = hooks.hook(name, {})
    known = hooks.settings_of(before)
    assert {"bin", "site"} <= set(known)
    after = hooks.hook(name, {"bin": "/x/bin", "site": "/x/site.toml"})
    assert hooks.settings_of(after) == known | {"bin": "/x/bin", "site": "/x/site.toml"}
    changed = [
        pair
        for pair in zip(before.splitlines(), after.splitlines(), strict=True)
        if pair[0] != pair[1]
    ]
    assert len(changed) == 2


@pytest.mark.parametrize("name", [name for name in ALL if not name.endswith((".lua", ".py"))])
def test_each_shell_hook_is_plain_posix_shell(name: str) -> None:
    checked = subprocess.run(
        ["sh", "-n"], input=hooks.hook(name, {}).encode(), check=False, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr
    assert hooks.hook(name, {}).startswith("#!/bin/sh\n")


@pytest.mark.parametrize("value", ['a"b', "a b", "a'b", "a\nb", "$(x)", "a\\b"])
def test_a_value_that_would_need_quoting_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="characters that a hook cannot hold"):
        hooks.hook("slurm-lua", {"bin": value})


@pytest.mark.parametrize("name", ["none", "slurm-lua/none", "../x", "lsf-bbapi", "emulator"])
def test_a_hook_that_is_not_there_is_an_error_that_names_those_that_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        hooks.hook(name, {})
    assert caught.value.hint


def test_a_setting_that_the_hook_has_not_is_an_error() -> None:
    with pytest.raises(UsageError, match="has no setting bni"):
        hooks.hook("slurm-lua", {"bni": "/x"})


def test_what_the_site_says_is_what_the_hook_gets(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\nstate_root = "/x"\n[scheduler]\ntimeout_s = 1000\nmargin_s = 100\n')
    known = hooks.settings_of(
        hooks.hook("slurm-lua", hooks.values_for("slurm-lua", config.load(site)))
    )
    assert known["site"] == str(site)
    assert known["deadline_s"] == "900"
    assert known["registered"] == "true"
    assert Path(known["bin"], "python").exists()


def test_the_command_prints_the_hook_with_what_is_asked_for() -> None:
    ended = run("site", "hook", "slurm-lua", "--set", "poll=true")
    assert ended.code == 0
    assert hooks.settings_of(ended.out)["poll"] == "true"
    assert run("site", "hook", "slurm-lua", "--set", "poll").code == 2


def test_the_command_lists_all_kinds() -> None:
    assert set(run("site", "list", "--json").json()) == set(KINDS)
    assert "burst_buffer.lua" in run("site", "list").out
