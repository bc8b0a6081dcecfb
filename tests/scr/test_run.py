"""`finalize --scr`: SCR's datasets end as its next job needs them; an independent reader judges."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from poststage import config
from poststage.errors import ExitCode, PoststageError
from poststage.finalize import Report, options_of
from poststage.scr.run import finalize_scr
from tests.axl.lay import file, metadata, pack, transfer
from tests.cli.run import run
from tests.finalize.house import meta_at, snapshot
from tests.scr.prefix import ATIME_NS, MTIME_NS, NEW, Prefix, nested


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path / "prefix")


def finalize(prefix: Prefix, *, dry_run: bool = False, deadline_s: float = 20) -> Report:
    options = options_of(config.load(), wait=False, dry_run=dry_run, deadline_s=deadline_s)
    return finalize_scr(prefix.top, options)


def reasons(report: Report) -> str:
    found = [problem.reason for one in report.datasets for problem in one.problems]
    return "; ".join([*found, *report.notes])


def is_complete(prefix: Prefix, number: int) -> bool:
    """By SCR's own rule: COMPLETE is 1 and there is no FAILED, summary and name fit."""
    entry = prefix.indexed(number)
    good = entry.get("COMPLETE") == {"1": {}} and "FAILED" not in entry
    if not good:
        return False
    summary = nested(prefix.directory(number) / "summary.scr")
    assert (summary["VERSION"], summary["COMPLETE"]) == ({"6": {}}, {"1": {}})
    assert summary["DSET"] == entry["DSET"]
    assert list(entry["FLUSHED"]) != []
    [name] = entry["DSET"]["NAME"]
    names = nested(prefix.scr / "index.scr")["NAME"]
    assert names[name] == {"DSET": {str(number): {}}}
    return True


def test_a_dataset_whose_ranks_are_all_there_is_complete_in_scrs_index(prefix: Prefix) -> None:
    prefix.add(6, ranks=4, files=2, parts=2)
    report = finalize(prefix)
    assert (report.exit_code, reasons(report)) == (ExitCode.OK, "")
    [dataset] = report.datasets
    assert (dataset.parts, dataset.parts_seen, dataset.complete) == (4, 4, True)
    assert dataset.files == {"published": 6}
    assert is_complete(prefix, 6)
    assert nested(prefix.scr / "index.scr")["CURRENT"] == {"ckpt.6": {}}
    assert prefix.flushing() == set()


def test_the_files_have_their_recorded_metadata(prefix: Prefix) -> None:
    prefix.add(1)
    finalize(prefix)
    meta = meta_at(prefix.top / "ckpt.1" / "rank_0.0.ckpt")
    assert (meta.mode, meta.mtime_ns, meta.atime_ns) == (0o640, MTIME_NS, ATIME_NS)


def test_by_the_command_alone(prefix: Prefix) -> None:
    prefix.add(1, output=True)
    ended = run("--scr", prefix.top, "--json", program="finalize")
    assert ended.code == 0, ended.err
    assert is_complete(prefix, 1)
    again = run("--scr", prefix.top, program="finalize")
    assert again.code == 0
    assert "no state files" in again.err


def test_a_second_run_changes_nothing(prefix: Prefix) -> None:
    prefix.add(1, output=True)
    prefix.add(2)
    prefix.state(2, 0).unlink()
    first = finalize(prefix)
    before = snapshot(prefix.top)
    second = finalize(prefix)
    assert snapshot(prefix.top) == before
    assert second.exit_code == first.exit_code == ExitCode.NEEDS_PERSON


def test_a_dry_run_foresees_it_and_changes_nothing(prefix: Prefix) -> None:
    prefix.add(1)
    prefix.add(2)
    prefix.state(2, 1).unlink()
    before = snapshot(prefix.top)
    report = finalize(prefix, dry_run=True)
    assert snapshot(prefix.top) == before
    assert [one.complete for one in report.datasets] == [True, False]
    assert finalize(prefix).exit_code == report.exit_code


def test_a_missing_state_file_means_not_complete_and_is_recorded_as_failed(prefix: Prefix) -> None:
    prefix.add(3, ranks=5)
    prefix.state(3, 2).unlink()
    report = finalize(prefix)
    [dataset] = report.datasets
    assert (dataset.parts, dataset.parts_seen, dataset.missing_parts) == (5, 4, (2,))
    assert report.exit_code == ExitCode.NEEDS_PERSON
    assert "its state file is missing" in reasons(report)
    assert not is_complete(prefix, 3)
    assert list(prefix.indexed(3)["FAILED"]) != []
    assert not (prefix.directory(3) / "summary.scr").exists()
    assert nested(prefix.scr / "flush.scr")["DATASET"]["3"]["LOCATION"] == {"CACHE": {}}


def test_a_rank_without_files_needs_its_state_file_too(prefix: Prefix) -> None:
    prefix.add(3, ranks=3)
    prefix.state(3, 2).unlink()
    assert finalize(prefix).exit_code == ExitCode.NEEDS_PERSON


@pytest.mark.parametrize("state", [1, 2])
def test_a_rank_without_files_is_accounted_for_once_its_state_file_is_there(
    prefix: Prefix, state: int
) -> None:
    prefix.add(3, ranks=3)
    prefix.state_file(3, 2, [], state=state, status=1 if state == 1 else 3)
    finalize(prefix)
    assert is_complete(prefix, 3)


def test_a_file_that_scr_lists_and_the_state_file_lacks_is_missed(prefix: Prefix) -> None:
    prefix.add(3, files=2)
    prefix.state_file(3, 0, ["ckpt.3/rank_0.0.ckpt"])
    report = finalize(prefix)
    assert "ckpt.3/rank_0.1.ckpt is SCR's" in reasons(report)
    assert not is_complete(prefix, 3)


def test_a_short_file_is_incomplete_is_kept_and_the_dataset_has_failed(prefix: Prefix) -> None:
    prefix.add(3)
    (prefix.top / "ckpt.3" / "rank_0.0.ckpt").write_bytes(NEW[:5])
    report = finalize(prefix)
    assert "5 of 17 bytes" in reasons(report)
    [dataset] = report.datasets  # its rank is there, and says what is wrong
    assert (dataset.parts, dataset.parts_seen, dataset.missing_parts) == (3, 3, ())
    assert not is_complete(prefix, 3)
    assert (prefix.top / "ckpt.3" / "rank_0.0.ckpt").read_bytes() == NEW[:5]


def test_what_failed_once_and_is_whole_later_is_complete(prefix: Prefix) -> None:
    prefix.add(3)
    path = prefix.top / "ckpt.3" / "rank_0.0.ckpt"
    path.write_bytes(NEW[:5])
    finalize(prefix)
    path.write_bytes(NEW)
    assert finalize(prefix).exit_code == ExitCode.OK
    assert is_complete(prefix, 3)


def test_a_torn_state_file_is_65_and_the_rest_of_the_dataset_is_finished(prefix: Prefix) -> None:
    prefix.add(3)
    state = prefix.state(3, 0)
    state.write_bytes(state.read_bytes()[:99])
    report = finalize(prefix)
    assert report.exit_code == ExitCode.DATA
    assert not is_complete(prefix, 3)
    assert state.stat().st_size == 99


def test_with_a_vendors_handle_and_no_answer_nothing_is_recorded(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.state_file(3, 0, ["ckpt.3/rank_0.0.ckpt"], status=2, kind=5, BB_TransferHandle=77)
    index, flush = (prefix.scr / "index.scr").read_bytes(), (prefix.scr / "flush.scr").read_bytes()
    report = finalize(prefix)
    assert report.exit_code == ExitCode.RUN_AGAIN
    assert (prefix.scr / "index.scr").read_bytes() == index
    assert (prefix.scr / "flush.scr").read_bytes() == flush


def test_outputs_come_first_then_only_checkpoints_before_the_first_failed_output(
    prefix: Prefix,
) -> None:
    prefix.add(1)
    prefix.add(2, output=True, checkpoint=False, name="out.2")
    prefix.add(3)
    prefix.add(4, output=True, checkpoint=False, name="out.4")
    prefix.add(5)
    prefix.add(6, output=True, checkpoint=False, name="out.6")
    prefix.state(4, 0).unlink()
    before = snapshot(prefix.directory(5))
    report = finalize(prefix)
    order = [one.dataset.partition(" ")[0] for one in report.datasets]
    assert order == ["2", "4", "6", "1", "3", "5"]
    complete = {n for n in range(1, 7) if is_complete(prefix, n)}
    assert complete == {1, 2, 3, 6}
    assert "output 4 before it is not whole" in reasons(report)
    assert snapshot(prefix.directory(5)) == before
    assert "FAILED" not in prefix.indexed(5)
    assert prefix.flushing() == {"4", "5"}
    assert nested(prefix.scr / "index.scr")["CURRENT"] == {"ckpt.3": {}}


def test_current_never_goes_back_to_an_older_checkpoint(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.add(9)
    prefix.index[9].update({"COMPLETE": 1, "FLUSHED": "2026-01-01T00:00:00"})
    del prefix.flush[9]
    prefix.write(CURRENT="ckpt.9")
    finalize(prefix)
    assert is_complete(prefix, 3)
    assert nested(prefix.scr / "index.scr")["CURRENT"] == {"ckpt.9": {}}


def test_current_leaves_a_checkpoint_that_has_failed(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.add(9)
    prefix.write(CURRENT="ckpt.9")
    prefix.state(9, 0).unlink()
    finalize(prefix)
    assert nested(prefix.scr / "index.scr")["CURRENT"] == {"ckpt.3": {}}


def test_what_else_stands_in_scrs_files_stays(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.index[1] = {"COMPLETE": 1, "FETCHED": "then", "X": {"Y": "z"}, "DSET": {"NAME": "old"}}
    prefix.flush[1] = {"NAME": "old", "LOCATION": {"PFS": {}}}
    prefix.write(UNKNOWN={"KEY": {"A": {}, "B": {}}})
    before = prefix.indexed(1)
    finalize(prefix)
    assert prefix.indexed(1) == before
    assert nested(prefix.scr / "index.scr")["UNKNOWN"] == {"KEY": {"A": {}, "B": {}}}
    assert prefix.flushing() == {"1"}


def test_a_checkpoint_that_lay_in_the_cache_alone_is_no_failure(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.flush[4] = {"NAME": "c", "LOCATION": "CACHE", "CKPT": 1, "DSETDESC": {"ID": 4}}
    prefix.write()
    report = finalize(prefix)
    assert report.exit_code == ExitCode.OK
    assert "never flushed" in reasons(report)
    assert prefix.flushing() == {"4"}


def test_an_output_that_was_never_flushed_is_missed_and_holds_later_checkpoints(
    prefix: Prefix,
) -> None:
    prefix.flush[4] = {"NAME": "c", "LOCATION": "CACHE", "OUTPUT": 1, "DSETDESC": {"ID": 4}}
    prefix.add(5)
    report = finalize(prefix)
    assert report.exit_code == ExitCode.NEEDS_PERSON
    assert not is_complete(prefix, 5)


def test_what_the_flush_file_has_lost_is_found_in_the_index(prefix: Prefix) -> None:
    prefix.add(3)
    (prefix.scr / "flush.scr").unlink()
    assert finalize(prefix).exit_code == ExitCode.OK
    assert is_complete(prefix, 3)


def test_without_an_index_one_is_made(prefix: Prefix) -> None:
    prefix.add(3)
    (prefix.scr / "index.scr").unlink()
    finalize(prefix)
    assert is_complete(prefix, 3)
    assert nested(prefix.scr / "index.scr")["VERSION"] == {"2": {}}


@pytest.mark.parametrize("name", ["flush.scr", "index.scr"])
@pytest.mark.parametrize("content", [b"", b"\x95\x1f\xc3\xf5", b"nothing of the kind, not at all"])
def test_a_damaged_file_of_scrs_is_65_and_nothing_is_touched(
    prefix: Prefix, name: str, content: bytes
) -> None:
    prefix.add(3)
    (prefix.scr / name).write_bytes(content)
    before = snapshot(prefix.top)
    with pytest.raises(PoststageError) as caught:
        finalize(prefix)
    assert caught.value.message.startswith(f"{prefix.scr / name}: ")
    assert caught.value.exit_code == ExitCode.DATA
    assert snapshot(prefix.top) == before


def test_an_index_of_another_version_is_left_alone(prefix: Prefix) -> None:
    prefix.add(3)
    prefix.put("index.scr", {"VERSION": 1, "DSET": prefix.index})
    before = snapshot(prefix.top)
    with pytest.raises(PoststageError, match="version 1 is not known"):
        finalize(prefix)
    assert snapshot(prefix.top) == before


@pytest.mark.parametrize("name", ["rank2file", "rank2file.0.0"])
@pytest.mark.parametrize("left", ["torn", "gone"])
def test_without_the_list_of_ranks_a_dataset_is_not_complete(
    prefix: Prefix, name: str, left: str
) -> None:
    prefix.add(3)
    path = prefix.directory(3) / name
    path.write_bytes(path.read_bytes()[:-3]) if left == "torn" else path.unlink()
    report = finalize(prefix)
    assert report.exit_code in {ExitCode.DATA, ExitCode.NEEDS_PERSON}
    assert "rank2file" in reasons(report)
    assert not is_complete(prefix, 3)
    assert "FAILED" in prefix.indexed(3)


def test_a_second_finalizer_waits_for_the_first_and_then_says_so(prefix: Prefix) -> None:
    prefix.add(3)
    with open(prefix.scr / ".finalize.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PoststageError, match="another process holds") as caught:
            finalize(prefix, deadline_s=0.3)
    assert caught.value.exit_code == ExitCode.RUN_AGAIN
    assert not is_complete(prefix, 3)


def test_the_files_of_scr_keep_their_modes(prefix: Prefix) -> None:
    prefix.add(3)
    (prefix.scr / "index.scr").chmod(0o664)
    (prefix.scr / "flush.scr").chmod(0o600)
    finalize(prefix)
    assert (prefix.scr / "index.scr").stat().st_mode & 0o777 == 0o664
    assert (prefix.scr / "flush.scr").stat().st_mode & 0o777 == 0o600


def test_files_under_axls_temp_names_are_renamed_first(prefix: Prefix) -> None:
    """SCR does not ask AXL for its extension; the environment of a job may."""
    prefix.add(3)
    path = prefix.top / "ckpt.3" / "rank_0.0.ckpt"
    os.rename(path, f"{path}._AXL")
    recorded = file(os.fsencode(path) + b"._AXL", **metadata(len(NEW)))
    prefix.state(3, 0).write_bytes(pack(transfer({b"/bb/f": recorded})))
    assert finalize(prefix).exit_code == ExitCode.OK
    assert is_complete(prefix, 3)
    assert path.read_bytes() == NEW


def test_a_prefix_without_scrs_directory_is_wrong_usage(tmp_path: Path) -> None:
    ended = run("--scr", tmp_path, program="finalize")
    assert ended.code == 2
    assert "--scr names" in ended.err


def test_scr_and_dir_exclude_each_other(prefix: Prefix) -> None:
    assert run("--scr", prefix.top, "--dir", prefix.scr, program="finalize").code == 2


KILLED = """
import os, sys
from pathlib import Path
from poststage import config
from poststage.durable import fsops
from poststage.finalize import options_of
from poststage.scr.run import finalize_scr
left = int(sys.argv[2])
def counted(call):
    def count(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*args, **kwargs)
    return count
for name in ("replace", "publish", "set_mode", "set_times", "sync", "unlink", "create"):
    setattr(fsops, name, counted(getattr(fsops, name)))
finalize_scr(Path(sys.argv[1]), options_of(config.load(), wait=False))
"""


def test_killed_before_any_change_the_next_run_completes_it(tmp_path: Path) -> None:
    """Every change of the run is a kill point, and none of them leaves the index ahead."""
    for point in range(200):
        prefix = Prefix(tmp_path / str(point))
        prefix.add(1, output=True, checkpoint=False, name="out.1", ranks=2)
        prefix.add(2, ranks=2)
        killed = subprocess.run([sys.executable, "-c", KILLED, prefix.top, str(point)], check=False)
        for number in (1, 2):
            if is_complete(prefix, number):
                meta = meta_at(next((prefix.top).glob(f"*.{number}/rank_0.0.ckpt")))
                assert meta.mtime_ns == MTIME_NS
        assert finalize(prefix).exit_code == ExitCode.OK
        assert is_complete(prefix, 1)
        assert is_complete(prefix, 2)
        assert prefix.flushing() == set()
        if killed.returncode == 0:
            return
    pytest.fail("the run never came to its end")
