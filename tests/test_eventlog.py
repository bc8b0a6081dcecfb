"""Events on their way to admins: a line each, whatever the target."""

import json
from pathlib import Path

import pytest

from poststage import eventlog

EVENT = {"event": "file", "job": "12", "file": "/a b", "reason": "x=y"}


def test_text_is_keys_and_values_quoted_where_they_need_it() -> None:
    assert eventlog.line(EVENT, "text") == 'event=file job=12 file="/a b" reason="x=y"'


def test_json_is_the_event() -> None:
    assert json.loads(eventlog.line(EVENT, "json")) == EVENT


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_file_gets_a_line_an_event_with_its_time(tmp_path: Path, form: str) -> None:
    for _ in range(2):
        assert eventlog.write([EVENT, EVENT], to=str(tmp_path / "log"), form=form) == ""
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 4
    if form == "json":
        assert {*json.loads(lines[0])} == {*EVENT, "time"}
    else:
        assert lines[0].startswith("time=20")
        assert lines[0].endswith(eventlog.line(EVENT, "text"))


def test_stderr_gets_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert eventlog.write([EVENT], to="stderr", form="text") == ""
    assert capsys.readouterr().err == eventlog.line(EVENT, "text") + "\n"


def test_none_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert eventlog.write([EVENT], to="none", form="text") == ""
    assert capsys.readouterr().err == ""


def test_syslog_may_be_away_and_nobody_is_stopped() -> None:
    assert eventlog.write([EVENT], to="syslog", form="text") == ""


def test_a_log_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    said = eventlog.write([EVENT], to=str(tmp_path / "no" / "log"), form="text")
    assert "cannot be written: No such file or directory" in said


def test_a_link_in_the_log_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    assert "cannot be written" in eventlog.write([EVENT], to=str(tmp_path / "log"), form="text")
    assert not (tmp_path / "elsewhere").exists()
