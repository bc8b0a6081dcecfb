"""The second run: it changes nothing, repeats nothing, and takes no change for a loss."""

import os
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from tests.edge.story import Story, verdicts

NEEDS_PERSON = ExitCode.NEEDS_PERSON


def snapshot(story: Story) -> dict[Path, os.stat_result | tuple[int, ...]]:
    """Everything of dst and STATEDIR, times of change included."""
    found: dict[Path, os.stat_result | tuple[int, ...]] = {}
    for top in (story.dst, story.state):
        for path in (top, *top.rglob("*")):
            info = path.lstat()
            times = (info.st_mtime_ns, info.st_ctime_ns)
            found[path] = (info.st_ino, info.st_mode, info.st_nlink, info.st_size, *times)
    return found


def half_failed(story: Story) -> tuple[Path, Path]:
    """One file is published, the other has failed; that is on record."""
    story.emulator.faults(fail_pattern="bad", fail_after_bytes=1)
    good, bad = story.source("sub/good"), story.source("sub/bad", b"yy")
    story.hand_over(good, bad)
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"published": 1, "failed": 1}
    return good, bad


def test_after_success_a_second_run_changes_nothing(story: Story) -> None:
    (story.bb / "sub").mkdir(mode=0o750)
    (story.bb / "sub" / "link").symlink_to("x")
    story.source("sub/f")
    with story.transfer() as transfer:
        transfer.add_tree(story.bb / "sub", story.dst / "sub")
    story.finalize()
    before = snapshot(story)
    report = story.report()
    assert snapshot(story) == before
    assert report["datasets"][0]["complete"]
    assert report["datasets"][0]["changed"] == 0


def test_after_a_failure_a_second_run_changes_nothing_and_says_the_same(story: Story) -> None:
    half_failed(story)
    before = snapshot(story)
    first = story.report(code=NEEDS_PERSON)
    second = story.report(code=NEEDS_PERSON)
    assert snapshot(story) == before
    assert first["datasets"] == second["datasets"]
    assert verdicts(second) == {"published": 1, "failed": 1}


def test_a_recorded_verdict_holds_whatever_the_backend_forgets(own: Story) -> None:
    own.emulator.faults(fail_pattern="bad", fail_after_bytes=1)
    own.hand_over(own.source("good"), own.source("bad", b"yy"))
    own.finalize(code=NEEDS_PERSON)
    own.emulator.stop()
    assert verdicts(own.report(code=NEEDS_PERSON)) == {"published": 1, "failed": 1}


@pytest.mark.parametrize("change", ["deleted", "written", "replaced", "chmod"])
def test_what_a_user_does_to_a_published_file_is_no_loss(story: Story, change: str) -> None:
    good, _ = half_failed(story)
    path = story.to(good)
    if change == "deleted":
        path.unlink()
    elif change == "written":
        path.write_bytes(b"the next step's")
    elif change == "replaced":
        path.unlink()
        path.write_bytes(b"another")
    else:
        path.chmod(0o600)
    before = snapshot(story)
    assert verdicts(story.report(code=NEEDS_PERSON)) == {"published": 1, "failed": 1}
    assert snapshot(story) == before


def test_what_is_lost_is_looked_for_again_in_every_run(story: Story) -> None:
    """A file system that was not mounted may come back."""
    source = story.source()
    story.hand_over(source)
    (temp,) = story.temps()
    temp.rename(story.top / "away")
    assert verdicts(story.report(code=NEEDS_PERSON)) == {"lost": 1}
    (story.top / "away").rename(temp)
    story.finalize()
    assert story.exact(source)


def test_a_destination_that_is_not_mounted_is_no_verdict_at_all(story: Story) -> None:
    source = story.source("sub/f")
    story.hand_over(source)
    (story.dst / "sub").rename(story.top / "away")
    report = story.report(code=ExitCode.RUN_AGAIN)
    assert "unknown" in verdicts(report)
    assert "lost" not in verdicts(report)
    left = story.dst / "sub"
    if left.exists():
        left.rmdir()
    (story.top / "away").rename(left)
    story.finalize()
    assert story.exact(source)
