"""AXL's state file damaged at each byte, by `finalize --dir`: one error, nothing is touched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage import config
from poststage.errors import ExitCode
from poststage.finalize import Report, finalize_dir, options_of
from tests.axl.lay import file, metadata, pack, transfer
from tests.finalize.house import snapshot

CONTENT = b"what the job wrote"
OPTIONS = options_of(config.load(), wait=False, jobs=1)


class Transfer:
    """A STATEDIR with one state file of two files, both there in full under their temp names."""

    def __init__(self, top: Path) -> None:
        self.state_dir, self.pfs = top / "state", top / "pfs"
        for made in (self.state_dir, self.pfs):
            made.mkdir()
        self.state = self.state_dir / "job.state_file"
        files = {}
        for name in ("one", "two"):
            temp = self.pfs / f"{name}._AXL"
            temp.write_bytes(CONTENT)
            files[b"/bb/" + name.encode()] = file(os.fsencode(temp), **metadata(len(CONTENT)))
        self.whole = pack(transfer(files))

    def judge(self, raw: bytes) -> list[str]:
        """What is wrong with what becomes of the state file `raw`; it is as it was afterwards."""
        self.state.write_bytes(raw)
        before = snapshot(self.pfs)
        report = finalize_dir(self.state_dir, OPTIONS)
        wrong = [] if snapshot(self.pfs) == before else ["its files were touched"]
        if self.state.read_bytes() != raw:
            wrong.append("it was changed itself")
        return wrong + list(_told(report, os.fspath(self.state)))


def _told(report: Report, path: str) -> Iterator[str]:
    if report.exit_code is not ExitCode.DATA:
        yield f"exit {int(report.exit_code)}"
    problems = [problem for one in report.datasets for problem in one.problems]
    if [problem.state_file for problem in problems] != [path]:
        yield f"not one error that names it: {problems}"
    elif "none of its files was touched" not in problems[0].reason:
        yield f"it says: {problems[0].reason}"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Transfer:

    return Transfer(tmp_path_factory.mktemp("damage"))


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF], ids=hex)
def test_a_changed_byte_anywhere_is_one_clear_error(one: Transfer, change: int) -> None:
    for at in range(len(one.whole)):
        raw = bytearray(one.whole)
        raw[at] ^= change
        assert one.judge(bytes(raw)) == [], f"byte {at}"


def test_a_file_that_is_cut_anywhere_is_one_clear_error(one: Transfer) -> None:
    for length in range(len(one.whole)):
        assert one.judge(one.whole[:length]) == [], f"{length} bytes"


def test_a_byte_too_many_or_too_few_anywhere_is_one_clear_error(one: Transfer) -> None:
    for at in range(len(one.whole) - 1):
        assert one.judge(one.whole[:at] + one.whole[at + 1 :]) == [], f"without byte {at}"
        assert one.judge(one.whole[:at] + b"\0" + one.whole[at:]) == [], f"NUL at {at}"


def test_undamaged_it_is_published(one: Transfer) -> None:
    one.state.write_bytes(one.whole)
    assert finalize_dir(one.state_dir, OPTIONS).exit_code is ExitCode.OK
    assert sorted(os.listdir(one.pfs)) == ["one", "two"]
