"""The report for people: everything that they need, and nothing that a name could do."""

import pytest
from msgspec.structs import replace

from poststage.cli.verdicts import print_report
from poststage.errors import ExitCode
from poststage.finalize.prepare import HELD_BACK
from poststage.finalize.probes import AGENT_STOPPED, NEVER_STARTED
from poststage.finalize.report import WAITS, DatasetReport, Problem, Report
from poststage.finalize.work import STOPPED
from poststage.model import Verdict
from poststage.statefile.axl import NEVER_DISPATCHED

DONE = DatasetReport(
    "step.0",
    "step.0",
    True,
    parts=4,
    parts_seen=4,
    files={"published": 7},
    published_bytes=2_500_000,
)
REPORT = Report("/s", ExitCode.OK, (DONE,), seconds=1.25)


def printed(capsys: pytest.CaptureFixture[str], *datasets: DatasetReport, **changes: object) -> str:
    print_report(replace(REPORT, datasets=datasets or (DONE,), **changes))
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def bad(count: int = 1, **changes: object) -> DatasetReport:
    problem = Problem(3, "failed", "no space left", "/dst/f", "/bb/f", ".f.tmp")
    problem = replace(problem, **changes)
    return DatasetReport(
        "step.1",
        "step.1",
        complete=False,
        parts=4,
        parts_seen=4,
        files={"failed": count, "published": 2},
        problems=(problem,) * min(count, 1000),
        problems_in_all=count,
    )


def test_a_whole_dataset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys).splitlines()
    assert lines[1].split()[:3] == ["step.0", "4/4", "7"]
    assert lines[1].endswith("complete")
    assert len(lines) == 4


def test_what_is_not_complete_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, DONE, bad()).splitlines()
    assert lines[1].startswith("step.1")
    assert "NOT complete" in lines[1]
    assert lines[2].startswith("step.0")


def test_each_file_has_its_verdict_its_reason_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, bad())
    assert "failed    /dst/f" in text
    assert "no space left" in text
    assert "hand it over again" in text


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.PUBLISHED])
def test_each_verdict_that_is_no_success_has_its_advice(
    capsys: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    assert f"\n  {verdict.value}: " in printed(capsys, bad(verdict=verdict.value))


def test_a_source_that_is_gone_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "its source is gone" in printed(capsys, bad(source_gone=True))
    assert "its source is gone" not in printed(capsys, bad())


def test_many_files_are_counted_and_not_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, bad(5000))
    assert text.count("/dst/f") == 20
    assert "and 4980 more" in text


def test_many_datasets_are_counted_and_not_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, *(replace(DONE, dataset=f"step.{k}") for k in range(53)))
    assert "and 3 datasets more" in text


def test_missing_parts_are_named_up_to_ten(capsys: pytest.CaptureFixture[str]) -> None:
    one = replace(DONE, complete=False, parts=104, missing_parts=tuple(range(4, 104)))
    text = printed(capsys, one)
    assert "no state file of part 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 90 more" in text


def test_one_missing_part_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, replace(DONE, complete=False, parts=2, missing_parts=(1,)))
    assert "part 1: that rank ended\n  before it recorded anything, or its state file" in text


@pytest.mark.parametrize("name", ["a%0Ab", "%1B[2J", "%E2%80%AEgpj", "%FF", "[bold red]x"])
def test_no_name_is_printed_raw_or_taken_for_markup(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    dataset = replace(bad(destination=f"/dst/{name}", source_gone=True), dataset="[red]\\x1b[2J")
    text = printed(capsys, dataset, notes=(f"note {name}",))
    assert all(char.isprintable() or char == "\n" for char in text)
    if name.startswith("[bold"):
        assert name in text


def test_the_last_line_says_what_was_changed_and_the_exit_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = printed(capsys, replace(DONE, changed=1)).splitlines()[-1]
    assert last == "changed 1 file or directory in 1.2 s; exit status 0: all done"
    last = printed(capsys, replace(DONE, changed=2), dry_run=True).splitlines()[-1]
    assert last.startswith("would change 2 files and directories in")


def test_an_empty_statedir_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(replace(REPORT, datasets=()))
    assert "/s: no state files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "way_out"),
    [
        (f"{WAITS}: output 4 before it is not whole", "SCR restarts before that output"),
        (HELD_BACK, "`finalize --publish file`"),
        (f"{STOPPED}: on n1", "`poststage resume` where the source is, or `poststage cancel`"),
        ("its transfer is still running", "running: run finalize again later"),
    ],
)
def test_what_waits_names_what_it_waits_for(
    capsys: pytest.CaptureFixture[str], reason: str, way_out: str
) -> None:
    text = " ".join(printed(capsys, bad(3, verdict="running", reason=reason)).split())
    advice = text.rpartition("running: ")[2]
    assert way_out in f"running: {advice}"
    assert text.count(advice) == 1


def test_failed_is_told_of_this_handing_over_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The same file may have arrived by another one."""
    text = " ".join(printed(capsys, bad()).split())
    assert "failed: nothing of such a file was published" in text
    assert "it is an older one or another dataset's" in text


def test_of_very_many_datasets_with_problems_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, *(replace(bad(), dataset=f"set.{n}") for n in range(120)))
    assert text.count("no space left") == 20
    assert "… and the problems of 100 datasets more; --json has all" in text


@pytest.mark.parametrize("reason", [AGENT_STOPPED, NEVER_DISPATCHED, NEVER_STARTED])
def test_what_was_never_begun_is_not_said_to_have_been_deleted(
    capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    text = " ".join(printed(capsys, bad(reason=reason)).split())
    assert "failed: nothing was handed over" in text
    assert "deleted" not in text


def test_a_state_file_that_cannot_be_read_is_named_once_and_has_its_own_advice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage = bad(verdict="unknown", destination="", state_file="/s/d/0.state", part=-1)
    damage = replace(damage, problems=(replace(damage.problems[0], reason="/s/d/0.state: cut"),))
    text = printed(capsys, replace(damage, dataset=""))
    assert text.count("/s/d/0.state") == 1
    assert "\n.:\n  unknown   /s/d/0.state\n            cut\n" in text
    assert "`poststage show`" in text


def test_a_reason_that_many_share_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, bad(3, source_gone=True))
    assert text.count("/dst/f") == text.count("/bb/f") == 3
    assert text.count("no space left") == text.count("their sources are gone") == 1
