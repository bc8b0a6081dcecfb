"""Edge cases of trees: links, directories and their modes."""

import os
import stat
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from poststage.model import Verdict
from poststage.statefile import layout
from tests.edge.story import Story, problems, verdicts


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def tree(story: Story) -> Path:
    """Symlinks, further names, modes, an empty directory."""
    top = story.bb / "step"
    story.source("step/a/f", mode=0o4755)
    story.source("step/empty.file", b"")
    (top / "empty").mkdir()
    os.link(top / "a" / "f", top / "hard")
    os.link(top / "a" / "f", top / "a" / "hard")
    (top / "sym").symlink_to("a/f")
    (top / "dangling").symlink_to("/nowhere/at\nall")
    (top / "loop").symlink_to("loop")
    for name, mode in (("a", 0o2711), ("empty", 0o1777), (".", 0o750)):
        (top / name).chmod(mode)
    return top


def test_a_tree_comes_through_with_links_and_modes(story: Story, tree: Path) -> None:
    with story.transfer() as transfer:
        transfer.add_tree(tree, story.dst / "new" / "step")
    story.finalize()
    there = story.dst / "new" / "step"
    assert story.exact(tree / "a" / "f", there / "a" / "f")
    assert len({(there / name).stat().st_ino for name in ("a/f", "hard", "a/hard")}) == 1
    assert (there / "hard").stat().st_nlink == 3
    for name in ("sym", "dangling", "loop"):
        assert os.readlink(there / name) == os.readlink(tree / name)
        assert (there / name).lstat().st_mtime_ns == (tree / name).lstat().st_mtime_ns
    assert [oct(mode_of(there / name)) for name in (".", "a", "empty")] == [
        oct(mode_of(tree / name)) for name in (".", "a", "empty")
    ]
    assert story.temps() == []


def test_destination_directories_that_do_not_exist_get_the_modes_of_the_source(
    story: Story,
) -> None:
    source = story.source("x/y/f")
    (story.bb / "x").chmod(0o750)
    (story.bb / "x" / "y").chmod(0o2755)
    story.hand_over(source)
    story.finalize()
    assert story.exact(source)
    assert (mode_of(story.dst / "x"), mode_of(story.dst / "x" / "y")) == (0o750, 0o2755)


def test_a_read_only_directory_takes_the_files_of_several_parts(story: Story) -> None:
    sources = [story.source(f"sub/f{part}") for part in range(3)]
    (story.bb / "sub").chmod(0o555)
    for part, source in enumerate(sources):
        story.start(source, part=part, parts=3)
    story.finalize()
    assert [one.name for one in sources if not story.exact(one)] == []
    assert mode_of(story.dst / "sub") == 0o555


def test_a_read_only_directory_stays_open_while_one_part_still_runs(story: Story) -> None:
    done, slow = story.source("sub/done"), story.source("sub/slow", b"x" * 200_000)
    (story.bb / "sub").chmod(0o555)
    story.hand_over(done, part=0, parts=2)
    story.emulator.faults(limit_mb_s=0.01)
    story.start(slow, part=1, parts=2)
    first = story.report("--no-wait", code=ExitCode.RUN_AGAIN)
    assert story.exact(done)
    assert mode_of(story.dst / "sub") & stat.S_IWUSR
    assert verdicts(first) == {"published": 1, "running": 2}
    assert first["datasets"][0]["parts_seen"] == 2
    story.emulator.faults()
    assert verdicts(story.report()) == {"published": 2}
    assert story.exact(slow)
    assert mode_of(story.dst / "sub") == 0o555


def test_what_failed_takes_its_further_names_with_it_and_leaves_the_symlinks(
    story: Story, tree: Path
) -> None:
    story.emulator.faults(fail_pattern="[fh]*", fail_after_bytes=1)
    with story.transfer() as transfer:
        transfer.add_tree(tree, story.dst / "step")
    report = story.report(code=ExitCode.NEEDS_PERSON)
    assert verdicts(report)["failed"] == 3
    there = {path.name for path in (story.dst / "step").iterdir()}
    assert there == {"a", "empty", "empty.file", "sym", "dangling", "loop"}
    assert list((story.dst / "step" / "a").iterdir()) == []


def test_a_transfer_of_links_and_directories_alone_needs_no_backend(story: Story) -> None:
    """Its agent was killed before it made the directories: nothing else will make them."""
    top = story.bb / "step"
    (top / "deep" / "deeper").mkdir(parents=True)
    (top / "deep" / "sym").symlink_to("deeper")
    (top / "deep").chmod(0o555)
    with story.agent() as agent:
        transfer = agent.transfer("d")
        transfer.add_tree(top, story.dst / "step")
        transfer.record()
    story.emulator.stop()
    try:
        story.finalize()
    finally:
        story.emulator.start()
    assert os.readlink(story.dst / "step" / "deep" / "sym") == "deeper"
    assert mode_of(story.dst / "step" / "deep") == 0o555


def test_a_rank_without_files_is_a_part_like_any_other(story: Story) -> None:
    story.hand_over(story.source(), part=0, parts=2)
    with story.transfer("d", 1, 2):
        pass
    report = story.report()
    assert report["datasets"][0]["complete"]
    assert report["datasets"][0]["parts_seen"] == 2
    done = {path.name for path in (story.state / "d").iterdir()}
    assert done == {os.fsdecode(layout.done_name(layout.state_name(part))) for part in (0, 1)}


def test_a_further_name_whose_place_is_taken_becomes_a_copy_of_the_name(story: Story) -> None:
    top = story.bb / "step"
    source = story.source("step/f")
    os.link(source, top / "hard")
    with story.agent() as agent:
        transfer = agent.transfer("d")
        transfer.add_tree(top, story.dst / "step")
        (story.dst / "step").mkdir()
        (story.dst / "step" / "hard").write_bytes(b"theirs")
        transfer.dispatch()
    report = story.report(code=ExitCode.NEEDS_PERSON)
    assert [one["verdict"] for one in problems(report)] == [Verdict.CONFLICT.value]
    assert (story.dst / "step" / "hard").read_bytes() == b"theirs"
    assert (story.dst / "step" / "f").stat().st_nlink == 2
