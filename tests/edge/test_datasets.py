"""Whole datasets: what is complete, what is held back, what is told of missing parts."""

import json
import os
from pathlib import Path
from typing import Any

from poststage.errors import ExitCode
from tests.edge.story import Story, problems, verdicts


def record(story: Story, dataset: str = "d") -> Any:
    """The durable record beside the state files."""
    return json.loads((story.state / f"{dataset}.report.json").read_bytes())


def parts(story: Story, count: int, **files: bytes) -> list[Path]:
    """The given files handed over, one part each; `count` parts announced."""
    sources = [story.source(name, content) for name, content in files.items()]
    for part, source in enumerate(sources):
        story.hand_over(source, part=part, parts=count)
    return sources


def test_the_record_of_a_dataset_says_who_when_how_much_and_what_failed(story: Story) -> None:
    story.emulator.faults(fail_pattern="bad", fail_after_bytes=1)
    parts(story, 2, good=b"x" * 1000, bad=b"y" * 10)
    story.finalize(code=ExitCode.NEEDS_PERSON)
    said = record(story)
    assert said["by"]["uid"] == os.geteuid()
    assert said["by"]["pid"] > 0
    assert said["time"].endswith("Z")
    report = said["report"]
    assert (report["complete"], report["parts"], report["parts_seen"]) == (False, 2, 2)
    assert (report["files"], report["published_bytes"]) == ({"published": 1, "failed": 1}, 1000)
    (problem,) = report["problems"]
    assert problem["destination"] == str(story.dst / "bad")
    assert "injected fault" in problem["reason"]


def test_a_rank_whose_state_file_is_missing_makes_the_dataset_not_complete(story: Story) -> None:
    (source,) = parts(story, 3, f=b"x")
    done = story.finalize(code=ExitCode.NEEDS_PERSON)
    assert story.exact(source)
    assert "no state file of part 1, 2" in done.text
    assert "NOT complete" in done.text
    assert record(story)["report"]["missing_parts"] == [1, 2]


def test_a_number_of_parts_that_nobody_can_have_costs_neither_time_nor_memory(
    story: Story,
) -> None:
    story.hand_over(story.source(), part=0, parts=2**31 - 1)
    report = story.report("--deadline", "20", code=ExitCode.NEEDS_PERSON)
    assert report["datasets"][0]["missing_parts"] == list(range(1, 101))
    assert report["runs"][0]["seconds"] < 5
    story.finalize("--publish", "dataset", code=ExitCode.NEEDS_PERSON)


def test_held_together_nothing_is_shown_until_every_part_has_arrived(story: Story) -> None:
    first, second = story.source("first"), story.source("second", b"x" * 100_000)
    story.hand_over(first, part=0, parts=2)
    story.emulator.faults(limit_mb_s=0.001)
    story.start(second, part=1, parts=2)
    words = ("--publish", "dataset")
    report = story.report(*words, "--no-wait", code=ExitCode.RUN_AGAIN)
    assert verdicts(report) == {"running": 2}
    assert "held back" in problems(report)[0]["reason"]
    assert not story.to(first).exists()
    story.emulator.faults()
    assert story.report(*words)["datasets"][0]["complete"]
    assert story.exact(first)
    assert story.exact(second)


def test_held_together_a_missing_part_holds_everything_back(story: Story) -> None:
    (source,) = parts(story, 2, f=b"x")
    report = story.report("--publish", "dataset", code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"running": 1}
    assert not story.to(source).exists()
    story.hand_over(story.source("late"), part=1, parts=2)
    story.finalize("--publish", "dataset")
    assert story.exact(source)


def test_held_together_a_failed_file_holds_everything_back_and_only_its_temp_file_goes(
    story: Story,
) -> None:
    story.emulator.faults(fail_pattern="bad", fail_after_bytes=1)
    good, bad = parts(story, 2, good=b"x", bad=b"yy")
    report = story.report("--publish", "dataset", code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"running": 1, "failed": 1}
    assert list(story.dst.iterdir()) == story.temps()
    assert [".good." in path.name for path in story.temps()] == [True]
    assert not story.to(good).exists()
    assert not story.to(bad).exists()


def test_held_together_a_checksum_that_does_not_fit_shows_nothing_of_the_dataset(
    story: Story,
) -> None:
    """It must not be learnt when half of the dataset has its names."""
    good, bad = story.source("good"), story.source("zbad", b"0123456789")
    story.hand_over(good, bad, checksum=True)
    (temp,) = [path for path in story.temps() if "zbad" in path.name]
    times = temp.stat()
    temp.write_bytes(b"012345678!")
    os.utime(temp, ns=(times.st_atime_ns, times.st_mtime_ns))
    report = story.report("--publish", "dataset", code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"running": 1, "lost": 1}
    assert not story.to(good).exists()


def test_one_dataset_does_not_wait_for_another(story: Story) -> None:
    whole, half = story.source("whole"), story.source("half")
    story.hand_over(whole, dataset="whole")
    story.hand_over(half, dataset="half", parts=2)
    report = story.report("--publish", "dataset", code=ExitCode.NEEDS_PERSON)
    assert {one["dataset"]: one["complete"] for one in report["datasets"]} == {
        "whole": True,
        "half": False,
    }
    assert story.exact(whole)
    assert not story.to(half).exists()


def test_a_dry_run_tells_and_changes_nothing_not_even_at_the_backend(story: Story) -> None:
    story.emulator.faults(fail_pattern="bad", fail_after_bytes=1)
    parts(story, 2, good=b"x", bad=b"yy")
    before = sorted(path.name for path in story.top.rglob("*"))
    report = story.report("--dry-run", code=ExitCode.NEEDS_PERSON)
    assert report["runs"][0]["dry_run"]
    assert verdicts(report) == {"published": 1, "failed": 1}
    assert sorted(path.name for path in story.top.rglob("*")) == before
    story.finalize(code=ExitCode.NEEDS_PERSON)
