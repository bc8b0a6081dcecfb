"""Events on their way to admins: a line each, whatever the target."""

import json
import os
from pathlib import Path

import pytest

from poststage import eventlog
from poststage.eventlog import Log


def write(to: str, form: str = "text", events: int = 1) -> str:
    """What went wrong."""
    log = Log(to, form)
    log.write([EVENT] * events)
    log.close()
    return log.wrong


EVENT = {"event": "file", "job": "12", "file": "/a b", "reason": "x=y"}


def test_text_is_keys_and_values_quoted_where_they_need_it() -> None:
    assert eventlog.line(EVENT, "text") == 'event=file job=12 file="/a b" reason="x=y"'


def test_json_is_the_event() -> None:
    assert json.loads(eventlog.line(EVENT, "json")) == EVENT


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_file_gets_a_line_an_event_with_its_time(tmp_path: Path, form: str) -> None:
    for _ in range(2):
        assert write(str(tmp_path / "log"), form, 2) == ""
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 4
    if form == "json":
        assert {*json.loads(lines[0])} == {*EVENT, "time"}
    else:
        assert lines[0].startswith("time=20")
        assert lines[0].endswith(eventlog.line(EVENT, "text"))


def test_stderr_gets_a_line_an_event(capfd: pytest.CaptureFixture[str]) -> None:
    assert write("stderr") == ""
    assert capfd.readouterr().err == eventlog.line(EVENT, "text") + "\n"


def test_none_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert write("none") == ""
    assert capsys.readouterr().err == ""


def test_syslog_may_be_away_and_nobody_is_stopped() -> None:
    assert write("syslog") == ""


def test_a_log_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    said = write(str(tmp_path / "no" / "log"))
    assert "cannot be written: No such file or directory" in said


def test_a_link_in_the_log_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    assert "cannot be written" in write(str(tmp_path / "log"))
    assert not (tmp_path / "elsewhere").exists()


def test_forked_processes_write_whole_lines_into_one_log(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), "json")
    children = []
    for _ in range(3):
        children.append(os.fork())
        if children[-1] == 0:
            for _ in range(200):
                log.write([EVENT] * 5)
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 3000
    assert all(json.loads(line)["job"] == "12" for line in lines)


def test_a_full_log_is_said_and_no_more() -> None:
    assert "No space left on device" in write("/dev/full")
