"""What others than the terminal are told: a result line whatever happens, a log, a script."""

import json
from pathlib import Path

import pytest

from tests.cli.run import done, failed, run


def site(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return site(tmp_path, f'[report]\nscript = "{path}"\nscript_timeout_s = 5\n')


def test_the_last_line_says_how_it_ended(tmp_path: Path) -> None:
    failed(tmp_path, "step")
    ended = run("finalize", "--dir", tmp_path, "--reason")
    last = ended.out.splitlines()[-1]
    assert ended.code == 3
    assert last == "poststage-result: 3 step: 1 failed (data.1: no space left on device)"


def test_an_error_is_a_result_too(tmp_path: Path) -> None:
    ended = run("finalize", "--dir", tmp_path / "none", "--reason")
    assert ended.code == 2
    assert ended.out.startswith(f"poststage-result: 2 {tmp_path}")


def test_a_setting_that_makes_no_sense_is_a_result_too(tmp_path: Path) -> None:
    wrong = site(tmp_path, "[site]\nnam = 'x'\n")
    ended = run("finalize", "--dir", tmp_path, "--reason", "--site", wrong)
    assert ended.code == 2
    assert "unknown key site.nam" in ended.out


def test_without_the_option_nothing_is_on_stdout(tmp_path: Path) -> None:
    done(tmp_path, "step")
    assert run("finalize", "--dir", tmp_path).out == ""


def test_the_site_s_log_gets_a_line_for_each_file_dataset_and_run(tmp_path: Path) -> None:
    failed(tmp_path / "state", "step")
    text = f'[log]\nto = "{tmp_path}/log"\nformat = "json"\n'
    run("finalize", "--dir", tmp_path / "state", "--site", site(tmp_path, text))
    found = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert found == ["file", "dataset", "run"]


def test_an_error_before_any_report_is_logged_too(tmp_path: Path) -> None:
    where = site(tmp_path, f'[log]\nto = "{tmp_path}/log"\n')
    run("finalize", "--dir", tmp_path / "none", "--site", where)
    note, ended = (tmp_path / "log").read_text().splitlines()
    assert "event=note" in note
    assert "is not a directory" in note
    assert ended.endswith(f'event=run file={tmp_path}/none verdict="exit 2"')


def test_the_site_s_script_gets_the_reports_and_the_reason(tmp_path: Path) -> None:
    failed(tmp_path / "state", "step")
    where = script(
        tmp_path, f'cat >{tmp_path}/got; echo "$POSTSTAGE_EXIT $POSTSTAGE_REASON" >{tmp_path}/env'
    )
    assert run("finalize", "--dir", tmp_path / "state", "--site", where).code == 3
    document = json.loads((tmp_path / "got").read_text())
    assert document["datasets"][0]["dataset"] == "step"
    assert (tmp_path / "env").read_text().startswith("3 step: 1 failed")


@pytest.mark.parametrize(
    ("body", "words"),
    [("exit 4", "ended with status 4"), ("exec tail -f /dev/null", "was killed after 0.2 s")],
)
def test_a_script_that_fails_changes_nothing_of_the_outcome(
    tmp_path: Path, body: str, words: str
) -> None:
    done(tmp_path / "state", "step")
    where = script(tmp_path, body)
    where.write_text(where.read_text().replace("= 5", "= 0.2"))
    ended = run("finalize", "--dir", tmp_path / "state", "--site", where)
    assert ended.code == 0
    assert words in ended.err


def test_a_script_that_is_not_there_changes_nothing_of_the_outcome(tmp_path: Path) -> None:
    done(tmp_path / "state", "step")
    where = site(tmp_path, '[report]\nscript = "/no/script"\n')
    ended = run("finalize", "--dir", tmp_path / "state", "--site", where)
    assert ended.code == 0
    assert "report script /no/script: cannot be run: No such file or directory" in ended.err


def test_a_script_that_never_reads_gets_no_run_to_wait(tmp_path: Path) -> None:
    failed(tmp_path / "state", "step" + "x" * 200)
    where = script(tmp_path, "exec sleep 600 <&-")
    where.write_text(where.read_text().replace("= 5", "= 0.2"))
    assert run("finalize", "--dir", tmp_path / "state", "--site", where).code == 3


def test_a_dry_run_tells_nobody(tmp_path: Path) -> None:
    failed(tmp_path / "state", "step")
    where = script(tmp_path, f"touch {tmp_path}/ran")
    run("finalize", "--dir", tmp_path / "state", "--dry-run", "--site", where)
    assert not (tmp_path / "ran").exists()
