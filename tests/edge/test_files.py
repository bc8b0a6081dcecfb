"""Edge cases of single files, from the agent to the published name."""

import os
import stat

import pytest

from poststage.errors import ExitCode, PoststageError
from tests.edge.story import MTIME_NS, Story, content, facts, problems, verdicts

NEEDS_PERSON = ExitCode.NEEDS_PERSON
ROOT = os.geteuid() == 0
MODES = (0, 0o200, 0o400, 0o444, 0o600, 0o755, 0o1644, 0o4755, 0o2755, 0o6711)
TIMES = ((0, 0), (-1, -(10**18)), (1, 999_999_999), (7, 4 * 10**18), (-999_999_999, -1))
NAMES = (
    b"n" * 255,
    b"a\nb",
    b"a\tb",
    b"\x1b[2J\x1b]0;owned\x07",
    b"\xff\xfe\x80",
    "a\u202egpj.exe".encode(),
    b"%41\"\\'[red]",
    b"...",
    b"-rf",
    b" ",
)


def test_every_mode_is_exact_setuid_and_setgid_included(story: Story) -> None:
    modes = [mode for mode in MODES if ROOT or mode & stat.S_IRUSR]  # the emulator is this user
    sources = [story.source(f"{mode:o}", mode=mode) for mode in modes]
    story.hand_over(*sources)
    story.finalize()
    assert [
        oct(mode) for mode, one in zip(modes, sources, strict=True) if not story.exact(one)
    ] == []


def test_times_before_1970_at_0_and_to_the_nanosecond_are_exact(story: Story) -> None:
    sources = [story.source(f"{k}", times=times) for k, times in enumerate(TIMES)]
    story.hand_over(*sources)
    story.finalize()
    assert [times for times, one in zip(TIMES, sources, strict=True) if not story.exact(one)] == []


def test_the_atime_is_exact_although_the_contents_were_read_for_their_checksum(
    story: Story,
) -> None:
    sources = [story.source(f"{mode:o}", mode=mode) for mode in (0o640, 0o400, 0o4755)]
    story.hand_over(*sources, checksum=True)
    story.finalize()
    assert [one.name for one in sources if not story.exact(one)] == []


def test_a_file_of_mode_0000_is_proven_by_its_checksum(story: Story) -> None:
    source = story.source()
    story.hand_over(source, checksum=True)
    (temp,) = story.temps()
    temp.chmod(0)
    story.finalize()
    assert story.exact(source)


def test_a_checksum_that_does_not_fit_is_refused_and_the_file_kept(story: Story) -> None:
    source = story.source(content=b"0123456789")
    story.hand_over(source, checksum=True)
    (temp,) = story.temps()
    times = temp.stat()
    temp.write_bytes(b"012345678!")
    os.utime(temp, ns=(times.st_atime_ns, times.st_mtime_ns))
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"lost": 1}
    assert "checksum" in problems(report)[0]["reason"]
    assert story.temps() == [temp]
    assert not story.to(source).exists()


def test_every_name_comes_through_and_none_reaches_a_terminal_raw(story: Story) -> None:
    good = [story.source(name) for name in NAMES]
    bad = [story.source(b"bad/" + name) for name in NAMES]
    story.hand_over(*good, *bad)
    for path in (story.dst / "bad").iterdir():
        path.unlink()
    table = story.finalize(code=NEEDS_PERSON)
    document = story.finalize("--json", code=NEEDS_PERSON)
    assert [one.name for one in good if not story.exact(one)] == []
    assert len(problems(document.report)) == len(NAMES)
    assert is_harmless(table.err)
    assert is_harmless(document.out)
    assert document.out.isascii()
    assert (table.out, document.err) == (b"", b"")


def is_harmless(output: bytes) -> bool:
    """Whether it holds nothing but what prints, and line ends."""
    return all(char.isprintable() or char == "\n" for char in output.decode("utf-8"))


def test_an_empty_file_is_published(story: Story) -> None:
    source = story.source(content=b"")
    story.hand_over(source)
    story.finalize()
    assert story.exact(source)


def test_the_holes_of_a_sparse_file_stay_holes(story: Story) -> None:
    source = story.source()
    with open(source, "r+b") as file:
        file.truncate(1 << 24)
        file.seek(1 << 23)
        file.write(b"an island")
    os.utime(source, ns=(1, 2))
    before = facts(source)
    story.hand_over(source)
    story.finalize()
    assert facts(story.to(source)) == before
    assert story.to(source).stat().st_blocks * 512 < 1 << 20
    assert content(story.to(source)) == content(source)


def test_a_file_that_changed_between_recording_and_transfer_gets_no_name(story: Story) -> None:
    """The application wrote on: what was recorded is no file that ever was."""
    source = story.source(content=b"x" * 1000)
    story.hand_over(source, meanwhile=lambda: source.write_bytes(b"y" * 900))
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"failed": 1}
    assert not story.to(source).exists()
    assert story.temps() == []
    assert content(source) == b"y" * 900


def test_a_temp_file_that_is_not_as_it_arrived_gets_no_name_and_is_kept(story: Story) -> None:
    words = ("missing", "short", "long", "written")
    bad, good = [story.source(word) for word in words], story.source("good")
    story.hand_over(*bad, good)
    temps = {path.name.split(".")[1]: path for path in story.temps()}
    temps["missing"].unlink()
    os.truncate(temps["short"], 3)
    os.truncate(temps["long"], 300)
    temps["written"].write_bytes(b"the job's outpuT\n")
    left = {path: facts(path) for word, path in temps.items() if word in words[1:]}
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"lost": 4, "published": 1}
    assert {path.name for path in story.dst.iterdir()} == {"good", *(one.name for one in left)}
    assert {path: facts(path) for path in left} == left
    assert story.exact(good)


def test_a_transfer_that_lies_about_success_gets_no_name_for_its_short_file(story: Story) -> None:
    story.emulator.faults(short_pattern="f")
    source = story.source(content=b"0123456789" * 100)
    story.hand_over(source)
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"lost": 1}
    assert "has 500 bytes, 1000 were recorded" in problems(report)[0]["reason"]
    assert not story.to(source).exists()


def test_a_file_that_fails_half_way_is_deleted_and_the_others_are_published(story: Story) -> None:
    story.emulator.faults(fail_pattern="bad", fail_after_bytes=500)
    good, bad = story.source("good"), story.source("bad", b"x" * 1000)
    story.hand_over(good, bad)
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"failed": 1, "published": 1}
    assert story.exact(good)
    assert not story.to(bad).exists()
    assert story.temps() == []


def test_one_source_may_have_two_destinations(story: Story) -> None:
    source = story.source()
    with story.transfer() as transfer:
        transfer.add(source, story.dst / "one")
        transfer.add(source, story.dst / "two")
    story.finalize()
    assert story.exact(source, story.dst / "one")
    assert story.exact(source, story.dst / "two")


def test_an_older_file_that_stood_there_is_replaced(story: Story) -> None:
    source = story.source()
    story.to(source).write_bytes(b"the last run's")
    story.hand_over(source)
    story.finalize()
    assert story.exact(source)
    assert [path.name for path in story.dst.iterdir()] == ["f"]


@pytest.mark.parametrize("age", [-1, 1])
def test_a_file_that_came_after_the_transfer_was_created_is_kept_beside(
    story: Story, age: int
) -> None:
    source = story.source()

    def comes() -> None:
        story.to(source).write_bytes(b"theirs")
        os.utime(story.to(source), ns=(0, MTIME_NS + age))

    story.hand_over(source, meanwhile=comes)
    story.finalize(code=NEEDS_PERSON)
    (copy,) = [path for path in story.dst.iterdir() if path.name.endswith("~conflict~")]
    new, old = (story.to(source), copy) if age < 0 else (copy, story.to(source))
    assert story.exact(source, new)
    assert old.read_bytes() == b"theirs"


def test_a_directory_at_the_destination_is_refused_by_the_agent(story: Story) -> None:
    source = story.source()
    story.to(source).mkdir()
    with pytest.raises(PoststageError, match="is a directory"):
        story.start(source)


def test_a_directory_that_came_to_the_destination_is_left_alone(story: Story) -> None:
    source = story.source()
    story.hand_over(source, meanwhile=story.to(source).mkdir)
    story.finalize(code=NEEDS_PERSON)
    assert story.to(source).is_dir()
    (copy,) = [path for path in story.dst.iterdir() if path.name.endswith("~conflict~")]
    assert story.exact(source, copy)


def test_a_symlink_at_the_destination_is_replaced_and_never_followed(story: Story) -> None:
    source = story.source()
    target = story.top / "precious"
    target.write_bytes(b"precious")
    before = facts(target)
    story.to(source).symlink_to(target)
    story.hand_over(source)
    story.finalize()
    assert story.exact(source)
    assert facts(target) == before


def test_the_same_destination_of_two_ranks_keeps_the_bytes_of_both(story: Story) -> None:
    one, two = story.source("1/f", b"of rank 0"), story.source("2/f", b"and of rank 1")
    for part, source in enumerate((one, two)):
        with story.transfer("d", part, 2) as transfer:
            transfer.add(source, story.dst / "f")
    report = story.report(code=NEEDS_PERSON)
    assert verdicts(report) == {"published": 1, "conflict": 1}
    assert {content(path) for path in story.dst.iterdir()} == {b"of rank 0", b"and of rank 1"}
