"""Names and trees as items: what is kept, what is refused, and by which name."""

import os
import socket
from pathlib import Path

import pytest

from poststage.agent import items
from poststage.errors import SourceError, UsageError
from poststage.model import Kind
from tests.agent.trees import ODD_NAMES


def b(path: Path) -> bytes:
    return os.fsencode(path)


def test_a_relative_name_is_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert items.absolute(b"a/../b/./c") == b(tmp_path / "b" / "c")
    assert items.absolute("//x//y/") == b"/x/y"


@pytest.mark.parametrize("name", [b"x" * 256, b"/" + b"y/" * 2100, b"a\0b"])
def test_what_no_file_can_be_called_is_refused(name: bytes) -> None:
    with pytest.raises(UsageError, match="is not a file's name"):
        items.absolute(name)


def test_a_source_is_the_file_that_its_name_means_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    (tmp_path / "real" / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert items.absolute_source("link/../file") == b(tmp_path / "real" / "file")
    assert items.absolute_source("link") == b(tmp_path / "link")
    assert items.absolute_source("link/") == b(tmp_path / "link")
    assert items.absolute_source("real/..") == b(tmp_path)


def test_a_symlink_stays_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert items.item_of(b(tmp_path / "link"), b"/d").kind is Kind.SYMLINK


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_directory(path: Path) -> None:
    path.mkdir()


def make_nothing(path: Path) -> None:
    del path


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (make_fifo, "is a FIFO"),
        (make_socket, "is a socket"),
        (make_directory, "is a directory"),
        (make_nothing, "No such file"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, fact: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    assert callable(make)
    make(Path("odd\tname"))
    with pytest.raises(SourceError, match=fact) as caught:
        items.item_of(b(tmp_path / "odd\tname"), b"/d")
    assert "odd\\x09name" in caught.value.message


def test_a_device_is_refused() -> None:
    with pytest.raises(SourceError, match=r"/dev/null: is a character device"):
        items.item_of(b"/dev/null", b"/d")


def test_a_tree_is_listed_each_directory_before_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "src/a/b").mkdir(parents=True)
    (tmp_path / "src/empty").mkdir()
    (tmp_path / "src/a/b/file").write_text("12345")
    (tmp_path / "src/a/link").symlink_to(tmp_path)
    found = list(items.listed(b(tmp_path / "src"), b(tmp_path / "dst")))
    kinds = {os.path.relpath(one.destination, b(tmp_path)): one.kind for one in found}
    assert kinds == {
        b"dst": Kind.DIRECTORY,
        b"dst/a": Kind.DIRECTORY,
        b"dst/empty": Kind.DIRECTORY,
        b"dst/a/b": Kind.DIRECTORY,
        b"dst/a/link": Kind.SYMLINK,
        b"dst/a/b/file": Kind.FILE,
    }
    seen: set[bytes] = {os.path.dirname(found[0].destination)}
    for one in found:
        assert os.path.dirname(one.destination) in seen
        seen.add(one.destination)
    assert sum(one.size for one in found) == 5


def test_a_root_that_was_there_before_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "dst").mkdir()
    assert list(items.listed(b(tmp_path / "src"), b(tmp_path / "dst"))) == []


def test_a_tree_keeps_names_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ODD_NAMES:
        os.close(os.open(os.path.join(b(tmp_path / "src"), name), os.O_CREAT | os.O_WRONLY))
    found = items.listed(b(tmp_path / "src"), b"/dst")
    assert {os.path.basename(one.destination) for one in found} == {b"dst", *ODD_NAMES}


def test_names_of_one_file_are_known_as_such(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("one", "other"):
        (tmp_path / "src" / name).write_text(name)
    os.link(tmp_path / "src/one", tmp_path / "src/two")
    found = {os.path.basename(i.source): i.inode for i in items.listed(b(tmp_path / "src"), b"/d")}
    assert found[b"one"] == found[b"two"] is not None
    assert found[b"other"] is None


def test_a_special_file_in_a_tree_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    os.mkfifo(tmp_path / "src/sub/pipe")
    with pytest.raises(SourceError, match=r"src/sub/pipe: is a FIFO; it was not handed over"):
        list(items.listed(b(tmp_path / "src"), b"/d"))


def test_a_tree_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="is not a directory"):
        list(items.listed(b(tmp_path / "file"), b"/d"))


def test_missing_directories_of_the_same_name_are_implied_from_below(tmp_path: Path) -> None:
    (tmp_path / "pfs").mkdir()
    found = items.implied(b"/bb/run/step.0/data", b(tmp_path / "pfs/run/step.0/data"))
    assert [(one.source, one.destination) for one in found] == [
        (b"/bb/run/step.0", b(tmp_path / "pfs/run/step.0")),
        (b"/bb/run", b(tmp_path / "pfs/run")),
    ]


def test_directories_that_are_there_or_called_otherwise_are_not_implied(tmp_path: Path) -> None:
    (tmp_path / "step.0").mkdir()
    assert not list(items.implied(b"/bb/step.0/data", b(tmp_path / "step.0/data")))
    assert not list(items.implied(b"/bb/step.0/data", b(tmp_path / "step.1/data")))
