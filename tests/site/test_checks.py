"""`poststage site check`: what would keep files from being finalized, and what to do about it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from poststage.site import hooks
from tests.cli.run import on_terminal, run


def checked(
    tmp_path: Path, text: str, *words: object, **env: str
) -> tuple[int, list[dict[str, Any]]]:
    path = tmp_path / "site.toml"
    path.write_text(text)
    ended = run("site", "check", "--json", "--site", path, *words, **env)
    return ended.code, ended.json()


def about(found: list[dict[str, Any]], what: str) -> dict[str, Any]:
    (one,) = [one for one in found if one["what"] == what]
    return one


def test_a_backend_that_does_not_answer_is_told_and_is_not_wrong(tmp_path: Path) -> None:
    text = f'[backend.emulator]\nroot = "{tmp_path}/none"\n'
    _, found = checked(tmp_path, text)
    one = about(found, "backend emulator")
    assert one["level"] == "note"
    assert "does not answer" in one["fact"]
    assert "poststage emulator" in one["advice"]


def test_a_backend_with_a_wrong_table_is_wrong(tmp_path: Path) -> None:
    code, found = checked(tmp_path, "[backend.emulator]\nrot = 1\n")
    assert code == 3
    assert about(found, "backend emulator")["level"] == "wrong"


def test_settings_that_make_no_sense_end_it(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[site]\nnam = 'x'\n")
    assert run("site", "check", "--site", tmp_path / "site.toml").code == 2


def test_a_scheduler_that_cannot_be_asked_is_wrong(tmp_path: Path) -> None:
    directory = str(Path(sys.executable).parent)
    code, found = checked(tmp_path, '[scheduler]\nname = "slurm"\n', PATH=directory)
    assert code == 3
    assert about(found, "scheduler slurm")["fact"] == "squeue is not in PATH"


@pytest.mark.parametrize(("timeout", "level"), [(50, "wrong"), (1000, "note"), (5000, "fine")])
def test_a_deadline_is_held_against_the_scheduler_s(
    tmp_path: Path, timeout: int, level: str
) -> None:
    text = f'[scheduler]\nname = "lsf"\ntimeout_s = {timeout}\n'
    _, found = checked(tmp_path, text)
    assert about(found, "scheduler.timeout_s")["level"] == level


@pytest.mark.parametrize(("mode", "fit"), [(0o1777, True), (0o777, False), (0o755, False)])
def test_a_state_root_is_everybody_s_and_nobody_s(tmp_path: Path, mode: int, fit: bool) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root").chmod(mode)
    _, found = checked(tmp_path, f'[site]\nstate_root = "{tmp_path}/root"\n')
    expected = "fine" if fit and os.geteuid() == 0 else "wrong"
    assert about(found, "site.state_root")["level"] == expected


def test_a_state_root_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    _, found = checked(tmp_path, f'[site]\nstate_root = "{tmp_path}/root"\n')
    assert f"install -d -m 1777 {tmp_path}/root" in about(found, "site.state_root")["advice"]


def test_a_script_that_others_can_write_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    for mode, level in ((0o644, "wrong"), (0o777, "wrong"), (0o755, "fine")):
        (tmp_path / "script").chmod(mode)
        _, found = checked(tmp_path, f'[report]\nscript = "{tmp_path}/script"\n')
        assert about(found, "report.script")["level"] == level


def test_a_script_that_outlasts_the_scheduler_s_patience_is_noted(tmp_path: Path) -> None:
    text = '[report]\nscript = "/bin/true"\n[scheduler]\nname = "lsf"\ntimeout_s = 600\n'
    for margin_s, told in ((31, 0), (30, 1)):
        _, found = checked(tmp_path, f"{text}margin_s = {margin_s}\n")
        assert len([one for one in found if one["what"] == "report.script_timeout_s"]) == told


def test_a_log_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    _, found = checked(tmp_path, f'[log]\nto = "{tmp_path}/none/log"\n')
    assert about(found, "log.to")["level"] == "wrong"


def test_users_are_looked_up(tmp_path: Path) -> None:
    _, found = checked(tmp_path, "", "--user", "root")
    assert "number of groups: " in about(found, "user root")["fact"]
    assert about(found, "user root")["level"] == "fine"
    code, found = checked(tmp_path, "", "--user", "nobody-of-this-name")
    assert code == 3
    assert about(found, "user nobody-of-this-name")["level"] == "wrong"


def test_an_interpreter_that_others_cannot_reach_is_wrong(tmp_path: Path) -> None:
    _, found = checked(tmp_path, "")
    parents = Path(sys.executable).resolve().parents
    barred = [path for path in parents if not path.stat().st_mode & 0o001]
    assert about(found, "interpreter")["level"] == ("wrong" if barred else "fine")


def test_a_directory_s_file_system_is_tried_out(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    _, found = checked(tmp_path, "", "--dir", tmp_path / "state")
    assert len([one for one in found if one["what"] == str(tmp_path / "state")]) == 9


def test_for_people_each_finding_is_a_row_and_each_advice_a_line(tmp_path: Path) -> None:
    ended = run("site", "check", "--dir", tmp_path / "none")
    assert ended.code == 3
    assert f"wrong: {tmp_path}/none: make it, or mount its file system" in ended.out


KINDS = [kind.name for kind in hooks.kinds()]


@pytest.mark.parametrize("kind", KINDS)
def test_each_shipped_configuration_is_valid_and_each_finding_says_what_to_do(
    tmp_path: Path, kind: str
) -> None:
    code, found = checked(tmp_path, hooks.toml_of(kind).read_text())
    assert code in {0, 3}
    assert about(found, "settings")["level"] == "fine"
    assert [one for one in found if one["level"] != "fine" and not one["advice"]] == []


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_terminal_of_80_columns_lines_end_between_words(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(hooks.toml_of(kind).read_text())
    _, text = on_terminal("site", "check", "--site", path, NO_COLOR="1")
    assert "\x1b" not in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(" ".join(lines).split())
    for one in run("site", "check", "--site", path, "--json").json():
        if one["advice"]:
            assert f"{one['what']}: {' '.join(one['advice'].split())}" in told
