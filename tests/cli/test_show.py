"""`poststage show`: what a state file says, also a damaged one up to the damage."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.run import done, failed, head, put, run
from tests.vectors import make
from tests.vectors.words import HANDLE, HEAD, STARTED, entry, line, lines, recorded, written

GOOD = sorted(name for name in make.vectors() if name.startswith("good-"))


def test_the_json_of_a_file_is_the_documents_value(tmp_path: Path) -> None:
    content, expected = make.vectors()["good-all-kinds"]
    path = tmp_path / "0.state"
    path.write_bytes(content)
    ended = run("show", "--json", path)
    assert ended.code == 0
    assert ended.json() == {"damage": None, "file": str(path), "state": expected}


def test_a_person_reads_who_what_where_and_how_it_ended(tmp_path: Path) -> None:
    ended = run("show", failed(tmp_path, "step.0", 2, 4))
    assert ended.code == 0
    for words in (
        "part 2 of 4",
        "dataset   step.0",
        "handle 17",
        "/lustre/me/data.1",
        "from /bb/data.1",
        "failed: no space left on device",
        "1 published, 1 failed",
        "2023-11-14T22:13:20.123456789Z",
    ):
        assert words in ended.out


def test_a_done_file_is_read_like_any_other(tmp_path: Path) -> None:
    assert run("show", done(tmp_path, "step.0")).code == 0


def test_of_a_damaged_file_all_before_the_damage_is_shown_and_the_status_is_65(
    tmp_path: Path,
) -> None:
    path = tmp_path / "0.state"
    content = lines(HEAD, entry(), entry(name=b"data.1"), recorded(2), HANDLE)
    path.write_bytes(content.replace(b"/bb/data.1", b"/bb/data.2"))
    ended = run("show", path)
    assert ended.code == 65
    assert "/lustre/me/data.0" in ended.out
    assert "data.1" not in ended.out
    assert ended.err.startswith(f"error: {path}: line 3: checksum mismatch; none of its files")
    ended = run("show", "--json", path)
    assert ended.code == 65
    assert ended.json()["damage"] == "line 3: checksum mismatch"
    assert len(ended.json()["state"]["entries"]) == 1


def test_a_torn_tail_is_said_and_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    path.write_bytes(lines(HEAD, entry()) + line(recorded(1))[:-3])
    ended = run("show", path)
    assert ended.code == 0
    assert "torn" in ended.out
    assert "nothing was started" in ended.out


@pytest.mark.parametrize("content", [b"", b"\0" * 100, line(HEAD)[:-5]])
def test_a_file_without_a_whole_record_is_said_to_be_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.state"
    path.write_bytes(content)
    ended = run("show", path)
    assert ended.code == 0
    assert "no record is whole" in ended.out
    assert run("show", "--json", path).json()["state"] is None


def test_a_short_text_of_another_kind_is_no_state_file(tmp_path: Path) -> None:
    path = tmp_path / "0.state"
    path.write_bytes(b"hello\n")
    assert run("show", path).code == 65


def test_the_json_of_many_entries_is_one_document(tmp_path: Path) -> None:
    many = [entry(name=b'"entries": [] %d' % number) for number in range(2500)]
    path = put(tmp_path / "0.state", HEAD | {"job": "entries: []"}, *many, recorded(2500))
    state = run("show", "--json", path).json()["state"]
    assert [one["source"] for one in state["entries"]] == [one["source"] for one in many]


def test_hostile_names_steer_no_terminal_and_fake_no_line(tmp_path: Path) -> None:
    evil = b"\x1b]0;owned\x07\x1b[2J\n     0  file  published\xff"
    soft = entry("symlink", b"s", target=written(evil))
    records = [head(written(evil)), entry(name=evil), soft, recorded(2), STARTED]
    ended = run("show", put(tmp_path / "0.state", *records))
    assert ended.code == 0
    assert ended.out.replace("\n", "").isprintable()
    assert "\n     0  file  published" not in ended.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_of_any_encoding_gets_what_it_can_show(tmp_path: Path, encoding: str) -> None:
    name = "größe 大".encode()
    path = put(tmp_path / "0.state", HEAD, entry(name=name), recorded(1))
    ended = run("show", path, PYTHONIOENCODING=encoding)
    assert ended.code == 0
    assert "/lustre/me/gr" in ended.out


@pytest.mark.parametrize("what", ["missing", "directory", "fifo"])
def test_what_is_no_file_is_a_usage_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    if what == "fifo":
        os.mkfifo(path)
    ended = run("show", path)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {path}: ")


def test_every_good_vector_is_shown(tmp_path: Path) -> None:
    for name in GOOD[:: max(1, len(GOOD) // 8)]:
        path = tmp_path / f"{name}.state"
        path.write_bytes(make.vectors()[name][0])
        ended = run("show", path)
        assert ended.code == 0, name
        assert json.dumps(ended.out).isascii()


@pytest.mark.parametrize(
    ("is_in", "asked"),
    [
        ("7.done", "7.state"),
        ("7.done", "0.parts/7.state"),
        ("0.parts/7.state", "7.state"),
        ("0.parts/7.state", "1.parts/7.state"),
        ("0.parts/7.done", "0.parts/7.state"),
    ],
)
def test_a_part_that_lies_elsewhere_is_found(tmp_path: Path, is_in: str, asked: str) -> None:
    path = put(tmp_path / "x" / is_in, head("x", 7, 300), entry(), recorded(1), HANDLE, STARTED)
    (path.parent.parent / "1.parts").mkdir(exist_ok=True)
    ended = run("show", tmp_path / "x" / asked)
    assert ended.code == 2
    assert f"hint: that part is {path}\n" in ended.err


def test_a_part_that_is_nowhere_has_no_hint(tmp_path: Path) -> None:
    for name in ("7.state", "x.state"):
        ended = run("show", tmp_path / name)
        assert (ended.code, "hint" in ended.err) == (2, False)
