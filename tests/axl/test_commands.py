"""The commands that read a STATEDIR know AXL's state files, too."""

import os
from pathlib import Path

import pytest

from tests.axl.lay import file, metadata, pack, transfer
from tests.cli.run import Ended, run
from tests.finalize.house import put, snapshot

NEW = b"the job's output\n"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A STATEDIR with two of AXL's state files: one whole, one cut short."""
    (tmp_path / "D").mkdir()
    for name, kept in {"whole": NEW, "short": NEW[:5]}.items():
        put(tmp_path / f"{name}._AXL", kept)
        to = os.fsencode(tmp_path / f"{name}._AXL")
        recorded = file(to, **metadata(len(NEW)))
        tree = transfer({b"/bb/\x1b[31m" + name.encode(): recorded})
        (tmp_path / "D" / f"{name} state").write_bytes(pack(tree))
    return tmp_path / "D"


def dataset(ended: Ended) -> dict[str, object]:
    [found] = ended.json()["datasets"]
    assert isinstance(found, dict)
    return found


def test_show_reads_a_transfer_of_axl(top: Path) -> None:
    ended = run("show", top / "whole state")
    assert ended.code == 0
    assert "0640" in ended.out
    assert "temp name whole._AXL" in ended.out
    assert "\x1b" not in ended.out


def test_show_gives_it_as_json(top: Path) -> None:
    state = run("show", "--json", top / "whole state").json()["state"]
    [entry] = state["entries"]
    assert (entry["size"], entry["temp"], state["recorded"]) == (17, "whole._AXL", True)


def test_show_says_what_is_damaged_and_nothing_that_is_not_so(top: Path) -> None:
    (top / "torn").write_bytes((top / "whole state").read_bytes()[:99])
    ended = run("show", top / "torn")
    assert ended.code == 65
    assert "announces" in ended.err
    assert ended.out == ""


def test_status_counts_each_of_them_as_a_part_before_and_after(top: Path) -> None:
    before = dataset(run("status", "--dir", top, "--json"))
    assert (before["parts"], before["parts_seen"], before["entries_open"]) == (2, 2, 2)
    run("--dir", top, program="finalize")
    after = dataset(run("status", "--dir", top, "--json"))
    assert (after["parts"], after["parts_done"]) == (2, 1)
    assert after["verdicts"] == {"published": 1, "failed": 1}


def test_status_changes_nothing(top: Path) -> None:
    before = snapshot(top)
    run("status", "--dir", top)
    assert snapshot(top) == before


def test_forget_removes_what_is_done_and_the_verdicts_beside_it(top: Path) -> None:
    run("--dir", top, program="finalize")
    kept = run("forget", "--dir", top)
    assert "failed" in kept.err
    assert "short state.axl.verdicts" in os.listdir(top)
    assert run("forget", "--failed", "--dir", top).code == 0
    assert os.listdir(top) == [".finalize.lock"]
