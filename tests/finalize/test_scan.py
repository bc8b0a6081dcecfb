"""Which state files there are: all of them, in order, and through nothing that leads elsewhere."""

import os
import shutil
from pathlib import Path

import pytest

from poststage.finalize.scan import Group, part_of, part_order, scan
from tests.axl.lay import pack, transfer
from tests.finalize.plants import PLANTS
from tests.finalize.users import PLAIN, as_user


def scanned(top: Path) -> tuple[dict[bytes, Group], list[OSError]]:
    """The groups by directory, and what could not be read."""
    refused: list[OSError] = []
    return {group.directory: group for group in scan(os.fsencode(top), refused)}, refused


def touch(top: Path, *names: str) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_state_files_are_grouped_by_directory_and_ordered_by_part(tmp_path: Path) -> None:
    touch(tmp_path, "b/10.state", "b/9.state", "b/0.done", "a/0.state", "0.state", "b/note.txt")
    groups, refused = scanned(tmp_path)
    assert list(groups) == [b"", b"a", b"b"]
    assert groups[b"b"] == Group(b"b", (b"9.state", b"10.state"), (b"0.done",))
    assert refused == []


def test_a_directory_without_state_files_is_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "a/note.txt", "a/0.state.new", "d.report.json")
    assert scanned(tmp_path) == ({}, [])


def test_dot_directories_and_symlinks_are_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/0.state", "real/0.state")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "loop").symlink_to(".")
    assert list(scanned(tmp_path)[0]) == [b"real"]


@pytest.mark.parametrize("plant", sorted(set(PLANTS) - {"a directory"}))
def test_what_is_called_a_state_file_is_listed_whatever_it_is(tmp_path: Path, plant: str) -> None:
    """Reading it tells what is wrong with it; passing over it would hide it."""
    PLANTS[plant](tmp_path / "0.state")
    assert scanned(tmp_path)[0][b""].pending == (b"0.state",)


@pytest.mark.parametrize("name", [b"a\nb", b"\xff\xfe", b"n" * 255, b"\x1b[2J"])
def test_every_name_of_a_directory_is_its_bytes(tmp_path: Path, name: bytes) -> None:
    touch(tmp_path, os.fsdecode(name) + "/0.state")
    assert list(scanned(tmp_path)[0]) == [name]


def test_a_directory_that_may_not_be_read_is_told_and_stops_nothing(common: Path) -> None:
    touch(common, "closed/0.state", "open/0.state")
    if os.geteuid() == 0:
        for path in (common, *common.rglob("*")):
            os.chown(path, PLAIN, PLAIN)
    (common / "closed").chmod(0)

    def looks() -> None:
        groups, refused = scanned(common)
        assert list(groups) == [b"open"]
        assert [os.path.basename(one.filename) for one in refused] == [b"closed"]

    as_user(looks)
    (common / "closed").chmod(0o755)


def test_a_file_that_may_not_be_read_is_told_and_hides_nothing_beside_it(common: Path) -> None:
    touch(common, "d/0.state", "d/axl", "d/other.state_file")
    if os.geteuid() == 0:
        for path in (common, *common.rglob("*")):
            os.chown(path, PLAIN, PLAIN)
    (common / "d/axl").chmod(0)

    def looks() -> None:
        groups, refused = scanned(common)
        assert groups[b"d"].pending == (b"0.state", b"other.state_file")
        assert [one.filename for one in refused] == [os.fsencode(common / "d/axl")]

    as_user(looks)


def test_deeper_than_agents_write_nothing_is_looked_for_and_that_is_told(common: Path) -> None:
    """A thousand directories, one in the other, exhaust stacks and descriptors elsewhere."""
    touch(common, "d/0.state")
    fd = os.open(common, os.O_PATH)
    for _ in range(1200):
        os.mkdir("n", dir_fd=fd)
        above, fd = fd, os.open("n", os.O_PATH, dir_fd=fd)
        os.close(above)
    os.close(fd)
    groups, refused = scanned(common)
    assert list(groups) == [b"d"]
    assert ["deeper than 16" in str(one.strerror) for one in refused] == [True]
    while (common / "n").exists():  # shutil.rmtree cannot go so deep
        shutil.move(common / "n", common / "m")
        if (common / "m" / "n").exists():
            (common / "m" / "n").rename(common / "n")
        (common / "m").rmdir()


def test_a_missing_directory_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scanned(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (b"0.state", 0),
        (b"17.done", 17),
        (b"x.state", None),
        (b".state", None),
        (b"-1.state", None),
        (b"1.5.state", None),
        ("\u0663.state".encode(), None),
        (b"9" * 12 + b".state", None),
    ],
)
def test_the_part_in_a_name_is_a_plain_number(name: bytes, part: int | None) -> None:
    assert part_of(name) == part
    assert isinstance(part_order(name), tuple)


def test_the_parts_of_a_large_dataset_are_one_group(tmp_path: Path) -> None:
    touch(tmp_path, "d/0.parts/7.state", "d/1.parts/256.done", "d/0.parts/10.state", "d/1.state")
    groups, refused = scanned(tmp_path)
    pending = (b"1.state", b"0.parts/7.state", b"0.parts/10.state")
    assert groups == {b"d": Group(b"d", pending, (b"1.parts/256.done",))}
    assert refused == []
    assert part_of(b"1.parts/256.done") == 256


def test_nothing_in_a_directory_of_parts_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "d/0.parts/7.state", "d/0.parts/deeper/8.state")
    (tmp_path / "d/0.parts/axl").write_bytes(pack(transfer({})))
    groups, _ = scanned(tmp_path)
    assert groups[b"d"].pending == (b"0.parts/7.state",)
    assert groups[b"d/0.parts"].pending == (b"axl",)
    assert groups[b"d/0.parts/deeper"].pending == (b"8.state",)


def test_directly_below_statedir_it_is_a_directory_like_any(tmp_path: Path) -> None:
    touch(tmp_path, "0.parts/7.state")
    assert list(scanned(tmp_path)[0]) == [b"0.parts"]


def test_a_directory_of_parts_that_is_a_symlink_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, "d/1.state", "e/2.state")
    (tmp_path / "d/0.parts").symlink_to(tmp_path / "e")
    assert scanned(tmp_path)[0][b"d"].pending == (b"1.state",)
