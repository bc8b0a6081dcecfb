"""`poststage status`: how each dataset stands and what to do next; changes nothing."""

import os
import re
from pathlib import Path

import pytest

from tests.cli.run import done, failed, head, on_terminal, put, run, running, tree
from tests.vectors.words import entry, recorded


def test_each_dataset_is_summed_up_and_nothing_is_changed(tmp_path: Path) -> None:
    for part in range(2):
        done(tmp_path, "step.0", part, 2)
    running(tmp_path, "step.1", 0, 3)
    failed(tmp_path, "step.2")
    before = tree(tmp_path)
    ended = run("status", "--no-probe", "--json", "--dir", tmp_path)
    assert ended.code == 0
    first, second, third = ended.json()["datasets"]
    assert (first["done"], first["parts_seen"], first["files"], first["bytes"]) == (True, 2, 4, 48)
    assert first["verdicts"] == {"published": 4}
    assert (second["parts_seen"], second["parts"], second["entries_open"]) == (1, 3, 1)
    assert third["verdicts"] == {"failed": 1, "published": 1}
    assert tree(tmp_path) == before


def test_the_words_for_people_say_what_to_do_next(tmp_path: Path) -> None:
    done(tmp_path, "whole")
    running(tmp_path, "partly", 1, 4)
    failed(tmp_path, "bad")
    put(tmp_path / "begun" / "0.state", head("begun"), entry())
    ended = run("status", "--no-probe", "--dir", tmp_path)
    assert ended.code == 0
    assert "1 open; not seen: part 0, 2, 3" in ended.out
    assert "1 published, 1 failed" in ended.out
    assert "1 never recorded to its end" in ended.out
    assert "`finalize` publishes what has arrived\n    partly" in ended.out
    assert "nothing was started: hand it over again" in ended.out
    assert "`poststage forget --failed`\n    bad" in ended.out
    assert "`poststage forget` removes the record\n    whole" in ended.out
    assert ended.err == ""


@pytest.mark.parametrize("content", [b"0" * 70_000, None])
def test_a_damaged_file_is_65_and_does_not_hide_the_rest(
    tmp_path: Path, content: bytes | None
) -> None:
    path = running(tmp_path, "step.0", 0, 2)
    path.write_bytes(content or path.read_bytes().replace(b"/bb/data.0", b"/bb/data.1"))
    running(tmp_path, "step.0", 1, 2)
    done(tmp_path, "step.1")
    ended = run("status", "--no-probe", "--dir", tmp_path)
    assert ended.code == 65
    assert "unreadable: 0.state: line " in ended.out
    assert "not seen" not in ended.out
    assert "step.1" in ended.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_77_and_does_not_hide_the_rest(tmp_path: Path) -> None:
    running(tmp_path, "step.0").chmod(0)
    done(tmp_path, "step.1").parent.chmod(0)
    done(tmp_path, "step.2")
    ended = run("status", "--no-probe", "--dir", tmp_path)
    (tmp_path / "step.1").chmod(0o700)
    assert ended.code == 77
    assert "permission denied" in ended.out
    assert "step.2" in ended.out


def test_an_open_part_counts_in_place_of_an_older_one_set_aside(tmp_path: Path) -> None:
    done(tmp_path, "step.0")
    running(tmp_path, "step.0")
    (dataset,) = run("status", "--no-probe", "--json", "--dir", tmp_path).json()["datasets"]
    assert (dataset["done"], dataset["parts_seen"], dataset["entries_open"]) == (False, 1, 1)


def test_of_many_datasets_those_that_are_done_are_only_counted(tmp_path: Path) -> None:
    for number in range(200):
        done(tmp_path, f"step.{number}")
    running(tmp_path, "step.77b")
    ended = run("status", "--no-probe", "--dir", tmp_path)
    assert "step.77b" in ended.out
    assert "… and 200 more; 200 of 201 datasets are done" in ended.out
    assert len(ended.out.splitlines()) < 15
    assert len(run("status", "--no-probe", "--json", "--dir", tmp_path).json()["datasets"]) == 201


def test_a_symlink_in_a_statedir_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = running(elsewhere, "step.0")
    state_dir = tmp_path / "state"
    done(state_dir, "step.1")
    (state_dir / "step.0").symlink_to(elsewhere / "step.0")
    (state_dir / "step.1" / "1.state").symlink_to(path)
    (one,) = run("status", "--no-probe", "--json", "--dir", state_dir).json()["datasets"]
    assert one["dataset"] == "step.1"
    assert "1.state" in one["damage"][0]


def test_an_empty_statedir_is_said_to_be_empty(tmp_path: Path) -> None:
    assert run("status", "--dir", tmp_path).out == "no state files\n"
    assert run("status", "--dir", tmp_path, "--json").json() == {"datasets": []}


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_statedir_that_is_none_is_a_usage_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "a file":
        path.touch()
    ended = run("status", "--dir", path)
    assert ended.code == 2
    assert str(path) in ended.err


def test_a_backend_that_does_not_answer_is_unknown_with_its_reason(tmp_path: Path) -> None:
    running(tmp_path / "state", "step.0")
    ended = run("status", "--dir", tmp_path / "state", POSTSTAGE_EMULATOR_ROOT=str(tmp_path / "r"))
    assert ended.code == 0
    assert "transfers: 1 unknown; " in ended.out
    assert "nothing is deleted until then" in ended.out


def test_a_backend_that_the_site_does_not_allow_is_never_loaded(tmp_path: Path) -> None:
    records = [head("step.0") | {"backend": "os"}, entry(), recorded(1)]
    put(tmp_path / "step.0" / "0.state", *records)
    ended = run("status", "--json", "--dir", tmp_path)
    assert ended.code == 0
    assert "backend os is not allowed here" in ended.json()["datasets"][0]["reason"]


def test_hostile_names_steer_no_terminal(tmp_path: Path) -> None:
    put(tmp_path / "x" / "0.state", head("%1B[2J%0Astep.9  1/1"), entry(), recorded(1))
    code, text = on_terminal("status", "--no-probe", "--dir", tmp_path)
    assert code == 0
    assert "\x1b[2J" not in text
    assert "\\x1b[2J\\x0astep.9" in text
    plain = re.sub(r"\x1b\[\d*m", "", text)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80
