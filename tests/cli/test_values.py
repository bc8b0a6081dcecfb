"""What is given on a command line: an empty or endless value is refused, never guessed at."""

import subprocess
from pathlib import Path

import pytest

from poststage import config
from poststage.cli import values
from tests.cli.run import argv, environment, run, running, tree


@pytest.mark.parametrize(
    "args",
    [
        ("finalize", "--dir", ""),
        ("finalize", "--detach", "--dir", ""),
        ("finalize", "--scr", ""),
        ("finalize", "--dir", ".", "--job", ""),
        ("finalize", "--dir", ".", "--user", ""),
        ("cancel", "--dir", ".", "--temp", ""),
        ("site", "check", "--user", ""),
        ("status", "--dir", ""),
        ("wait", "--dir", ""),
        ("forget", "--dir", ""),
        ("show", ""),
        ("out", "--state-dir", "", "a", "b"),
        ("out", "--state-dir", "s", "--dataset", "", "a", "b"),
        ("out", "--state-dir", "s", "", "b"),
        ("out", "--state-dir", "s", "a", ""),
        ("wait", "--dir", "s", "--dataset", ""),
        ("site", "show", "--site", ""),
        ("site", "check", "--dir", ""),
        ("emulator", "start", "--root", ""),
        ("emulator", "start", "--root", "e", "--burst-buffer", ""),
        ("emulator", "fault", "--fail", ""),
    ],
)
def test_an_empty_value_is_wrong_usage_and_never_the_directory_one_is_in(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path, "set")
    (tmp_path / "a").write_text("a")
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = run(*args)
    assert ended.code == 2, ended.err
    assert "it is empty" in ended.err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "-1", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("finalize", "--dir", "s", "--deadline"),
        ("wait", "--dir", "s", "--timeout"),
        ("emulator", "fault", "--root", "e", "--limit"),
        ("emulator", "fault", "--root", "e", "--slow"),
    ],
)
def test_a_time_or_limit_without_end_or_sense_is_wrong_usage(
    words: tuple[str, ...], value: str
) -> None:
    ended = run(*words, value)
    assert ended.code == 2, ended.err
    assert f"'{words[-1]}'" in ended.err


@pytest.mark.parametrize("args", [(), ("site",), ("emulator",)])
def test_a_group_without_a_command_prints_its_help_line_by_line(args: tuple[str, ...]) -> None:
    ended = run(*args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == run(*args, "--help").out
    assert "error:" not in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ("out", "/etc/hostname", "x/y"),
        ("out", "--state-dir", "st", "/etc/hostname", "/tmp/never/x"),
        ("finalize", "--dir", "st"),
        ("emulator", "status", "--root", "e"),
    ],
)
def test_in_a_directory_that_was_removed_a_relative_path_is_wrong_and_no_bug(
    args: tuple[str, ...], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD"; exec "$@"'
    ended = subprocess.run(
        ["sh", "-c", script, "sh", *argv(*args)],
        cwd=gone,
        env=environment({"POSTSTAGE_STATE_DIR": str(tmp_path / "s")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in {2, 75}, ended.stderr
    assert "internal error" not in ended.stderr


def test_a_command_takes_the_times_that_the_settings_take() -> None:
    assert values.SECONDS_MAX == config.SECONDS_MAX
    assert values.SCHEDULERS == config.SCHEDULERS
