"""What SRC, DEST and a list mean: as cp where it makes sense, and never half of it."""

import os
from pathlib import Path

import pytest

from poststage.agent import sources
from poststage.errors import SourceError, UsageError
from poststage.model import Kind
from tests.agent.trees import ODD_NAMES


def b(path: Path | str) -> bytes:
    return os.fsencode(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bb" / "file"
    path.parent.mkdir()
    path.write_text("x")
    return path


def pairs(source: bytes, destination: bytes) -> list[tuple[Kind, bytes, bytes]]:
    return [
        (one.kind, one.source, one.destination) for one in sources.of_paths(source, destination)
    ]


def test_a_files_destination_is_its_name(file: Path, tmp_path: Path) -> None:
    assert pairs(b(file), b(tmp_path / "new")) == [(Kind.FILE, b(file), b(tmp_path / "new"))]


def test_a_file_goes_into_a_directory_that_is_there(file: Path, tmp_path: Path) -> None:
    (tmp_path / "pfs").mkdir()
    assert pairs(b(file), b(tmp_path / "pfs"))[0][2] == b(tmp_path / "pfs/file")


def test_a_file_goes_into_what_ends_in_a_slash(file: Path, tmp_path: Path) -> None:
    assert pairs(b(file), b(tmp_path / "new") + b"/")[-1][2] == b(tmp_path / "new/file")


def test_a_directorys_destination_is_the_trees_root_there_or_not(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    assert pairs(b(file.parent), b(tmp_path / "there")) == [
        (Kind.FILE, b(file), b(tmp_path / "there/file"))
    ]
    assert [kind for kind, *_ in pairs(b(file.parent), b(tmp_path / "new"))] == [
        Kind.DIRECTORY,
        Kind.FILE,
    ]


def test_a_symlink_stands_for_its_file_under_its_own_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(file)
    (tmp_path / "pfs").mkdir()
    assert pairs(b(tmp_path / "latest"), b(tmp_path / "pfs")) == [
        (Kind.FILE, b(file), b(tmp_path / "pfs/latest"))
    ]


def test_a_source_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing: cannot be read"):
        sources.of_paths(b(tmp_path / "missing"), b"/d")


def written(tmp_path: Path, content: bytes) -> bytes:
    path = tmp_path / "list"
    path.write_bytes(content)
    return b(path)


def test_a_list_is_a_line_a_file(file: Path, tmp_path: Path) -> None:
    listed = written(tmp_path, b(file) + b"\t/d/one\n" + b(file) + b"\t/d/two")
    assert [one.destination for one in sources.of_list(listed, null=False)] == [
        b"/d/one",
        b"/d/two",
    ]


def test_a_list_with_nul_takes_every_name(tmp_path: Path) -> None:
    top = b(tmp_path)
    content = b""
    for name in ODD_NAMES:
        os.close(os.open(os.path.join(top, name), os.O_CREAT | os.O_WRONLY))
        content += os.path.join(top, name) + b"\0/d/" + name + b"\0"
    (tmp_path / "the list").write_bytes(content)
    found = sources.of_list(b(tmp_path / "the list"), null=True)
    assert [os.path.basename(one.source) for one in found] == list(ODD_NAMES)
    assert [os.path.basename(one.destination) for one in found] == list(ODD_NAMES)


def test_a_lists_missing_directories_are_made_once(file: Path, tmp_path: Path) -> None:
    listed = written(tmp_path, b"".join(b(file) + b"\t/d/bb/%d\n" % i for i in range(3)))
    found = sources.of_list(listed, null=False)
    assert [one.kind for one in found] == [Kind.DIRECTORY, Kind.FILE, Kind.FILE, Kind.FILE]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"/a\t/b\n/only one\n", r"line 2: is not SOURCE<TAB>DESTINATION"),
        (b"/a\t/b\t/c\n", r"line 1: is not"),
        (b"\n", r"line 1: is not"),
        (b"\t/b\n", r"line 1: is not"),
    ],
)
def test_a_line_that_is_no_pair_is_named(
    file: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    content = content.replace(b"/a\t/b\n", b(file) + b"\t/b\n")
    with pytest.raises(UsageError, match=said):
        sources.of_list(written(tmp_path, content), null=False)


@pytest.mark.parametrize("content", [b"/a\0/b\0/c\0", b"/a\0\0", b"/a\t/b\n"])
def test_names_that_are_no_pairs_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="in turn"):
        sources.of_list(written(tmp_path, content), null=True)


def test_an_empty_list_is_no_files(tmp_path: Path) -> None:
    assert sources.of_list(written(tmp_path, b""), null=False) == []
    assert sources.of_list(written(tmp_path, b""), null=True) == []


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"list .*nowhere: No such file"):
        sources.of_list(b(tmp_path / "nowhere"), null=False)


def test_a_directory_in_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        sources.of_list(written(tmp_path, b(tmp_path) + b"\t/d\n"), null=False)
