"""STATEDIRs of every kind: missing, empty, unreadable, elsewhere, damaged, hostile."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from tests.edge.story import Story, run
from tests.finalize.users import user_only


def finalize(story: Story, state_dir: Path) -> tuple[int, str]:
    done = run(["finalize", "--dir", str(state_dir)], story.env)
    assert b"Traceback" not in done.err
    return done.code, done.text


def test_a_directory_that_is_missing_is_wrong_usage_and_is_not_made(story: Story) -> None:
    code, text = finalize(story, story.top / "nowhere")
    assert code == ExitCode.USAGE
    assert "nowhere" in text
    assert "hint:" in text
    assert not (story.top / "nowhere").exists()


def test_a_file_in_its_place_is_wrong_usage(story: Story) -> None:
    story.site.chmod(0o644)
    assert finalize(story, story.site)[0] == ExitCode.USAGE


def test_an_empty_one_is_all_done_and_stays_empty(story: Story) -> None:
    story.state.mkdir()
    code, text = finalize(story, story.state)
    assert code == ExitCode.OK
    assert "no state files" in text
    assert list(story.state.iterdir()) == []


@user_only
def test_one_that_may_not_be_read_is_a_matter_of_permission(story: Story) -> None:
    story.hand_over(story.source())
    story.state.chmod(0o300)
    code, text = finalize(story, story.state)
    story.state.chmod(0o700)
    assert code == ExitCode.PERMISSION, text
    assert len(story.temps()) == 1


@user_only
def test_one_that_may_not_be_written_is_a_matter_of_permission_and_nothing_is_touched(
    story: Story,
) -> None:
    story.hand_over(story.source())
    story.state.chmod(0o500)
    code, text = finalize(story, story.state)
    story.state.chmod(0o700)
    assert code == ExitCode.PERMISSION
    assert "its lock cannot be taken" in text
    assert len(story.temps()) == 1


@user_only
def test_a_dataset_that_may_not_be_read_harms_no_other(story: Story) -> None:
    good, bad = story.source("good"), story.source("bad")
    story.hand_over(good, dataset="good")
    story.hand_over(bad, dataset="bad")
    (story.state / "bad").chmod(0)
    done = story.finalize(code=ExitCode.PERMISSION)
    (story.state / "bad").chmod(0o700)
    assert "note: " in done.text
    assert story.exact(good)
    story.finalize()
    assert story.exact(bad)


def test_one_on_another_file_system_is_as_good(story: Story) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == story.dst.stat().st_dev:
        pytest.skip("no second file system here")
    story.state = memory / f"poststage-test-{os.getpid()}"
    try:
        source = story.source()
        story.hand_over(source)
        story.finalize()
        assert story.exact(source)
    finally:
        shutil.rmtree(story.state)


def a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def another_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_symlink(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_secret(path: Path) -> None:
    """What only some may read must not be quoted to others, whatever it looks like."""
    path.write_bytes(b"root:$6$secret$hash:19000:0:99999:7:::\n" * 3000)


HARMS: tuple[Callable[[Path], None], ...] = (
    a_bit,
    another_version,
    a_fifo,
    a_symlink,
    a_loop,
    a_directory,
    a_secret,
)


@pytest.mark.parametrize("harm", HARMS)
def test_one_bad_state_file_harms_no_other_and_none_of_its_files_is_touched(
    story: Story, harm: Callable[[Path], None]
) -> None:
    good, bad = story.source("good"), story.source("bad")
    story.hand_over(good, part=0, parts=2)
    story.hand_over(bad, part=1, parts=2)
    harm(story.state / "d" / "1.state")
    done = story.finalize("--deadline", "20", code=None)
    if harm is a_directory:  # no file, and so no state file
        assert "no state file of part 1" in done.text
        assert done.code == ExitCode.NEEDS_PERSON
    else:
        assert "1.state" in done.text
        assert "no state file of part" not in done.text
        assert done.code == ExitCode.DATA
    assert "secret" not in done.text
    assert story.exact(good)
    assert not story.to(bad).exists()
    assert len(story.temps()) == 1


def test_a_dataset_directory_that_is_a_symlink_is_not_entered(story: Story) -> None:
    source = story.source()
    story.hand_over(source)
    (story.state / "d").rename(story.top / "elsewhere")
    (story.state / "d").symlink_to(story.top / "elsewhere")
    code, text = finalize(story, story.state)
    assert code == ExitCode.OK
    assert "no state files" in text
    assert len(story.temps()) == 1
