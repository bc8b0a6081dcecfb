"""What is recorded of a source and its destination: exact, and as it was before it was read."""

import os
import stat
from pathlib import Path

import pytest
import xxhash

from poststage.agent import items
from poststage.agent.items import Item
from poststage.agent.observe import observe, observe_all
from poststage.errors import SourceError, UsageError
from poststage.model import Identity, Kind, Meta


def b(path: Path) -> bytes:
    return os.fsencode(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path


def file_item(source: Path, destination: Path) -> Item:
    return items.item_of(b(source), b(destination))


@pytest.mark.parametrize("mode", [0o644, 0o444, 0o600, 0o6755, 0o1777])
@pytest.mark.parametrize(
    ("atime_ns", "mtime_ns"), [(0, 0), (-(10**18) - 1, -1), (10**18 + 123456789, 10**18 + 1)]
)
def test_owner_mode_and_times_are_exact(
    source: Path, tmp_path: Path, mode: int, atime_ns: int, mtime_ns: int
) -> None:
    source.chmod(mode)
    os.utime(source, ns=(atime_ns, mtime_ns))
    seen = observe(file_item(source, tmp_path / "d"), checksum=False)
    assert seen.meta == Meta(7, os.geteuid(), source.stat().st_gid, mode, atime_ns, mtime_ns)
    assert seen.prior is None


def test_a_checksum_does_not_show_in_the_recorded_atime(source: Path, tmp_path: Path) -> None:
    os.utime(source, ns=(1, 2))  # older than mtime: relatime would update it
    seen = observe(file_item(source, tmp_path / "d"), checksum=True)
    assert (seen.meta.atime_ns, seen.meta.mtime_ns) == (1, 2)
    assert seen.checksum == f"xxh3_128:{xxhash.xxh3_128_hexdigest(b'content')}"


def test_a_checksum_is_of_all_the_bytes(source: Path, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    source.write_bytes(content)
    seen = observe(file_item(source, tmp_path / "d"), checksum=True)
    assert seen.checksum == f"xxh3_128:{xxhash.xxh3_128_hexdigest(content)}"


def test_a_time_that_does_not_fit_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    os.utime(source, ns=(0, 2**63))
    if source.stat().st_mtime_ns < 2**63:
        pytest.skip("this file system keeps no such times")
    with pytest.raises(SourceError, match="source: has a time outside of the years 1677 to 2262"):
        observe(file_item(source, tmp_path / "d"), checksum=False)


def test_what_stands_at_the_destination_is_recorded(source: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old content")
    os.utime(old, ns=(5, 7))
    seen = observe(file_item(source, old), checksum=False)
    assert seen.prior == Identity(old.stat().st_ino, 11, 7)


def test_a_symlink_at_the_destination_is_not_followed(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)  # a directory, that would be in the way
    seen = observe(file_item(source, link), checksum=False)
    assert seen.prior is not None
    assert seen.prior.ino == link.lstat().st_ino


def test_a_directory_is_in_a_files_way(source: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match=r"there: is a directory; .*source was not handed over"):
        observe(file_item(source, tmp_path / "there"), checksum=False)


@pytest.mark.parametrize("what", ["file", "link"])
def test_whatever_is_no_directory_is_in_a_directorys_way(tmp_path: Path, what: str) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "dir")
    item = Item(Kind.DIRECTORY, b(tmp_path / "dir"), b(tmp_path / what))
    with pytest.raises(UsageError, match=f"{what}: is not a directory"):
        observe(item, checksum=False)


def test_a_file_above_the_destination_is_in_the_way(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Not a directory"):
        observe(file_item(source, source / "below"), checksum=False)


def test_a_symlinks_target_is_recorded_as_it_is(tmp_path: Path) -> None:
    os.symlink(b"any \xff\nbytes", b(tmp_path / "link"))
    seen = observe(items.item_of(b(tmp_path / "link"), b(tmp_path / "d")), checksum=True)
    assert (seen.kind, seen.target, seen.checksum) == (Kind.SYMLINK, b"any \xff\nbytes", None)
    assert seen.meta.size == 0


def test_a_fifo_that_took_the_name_meanwhile_is_refused_at_once(
    source: Path, tmp_path: Path
) -> None:
    item = file_item(source, tmp_path / "d")
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(SourceError, match="is no regular file any more"):
        observe(item, checksum=True)


@pytest.mark.parametrize("kind", [Kind.SYMLINK, Kind.DIRECTORY])
def test_what_has_changed_its_kind_is_refused(source: Path, tmp_path: Path, kind: Kind) -> None:
    item = Item(kind, b(source), b(tmp_path / "d"))
    with pytest.raises(SourceError, match="any more"):
        observe(item, checksum=False)


def test_a_source_that_has_gone_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    item = file_item(source, tmp_path / "d")
    source.unlink()
    with pytest.raises(SourceError, match="source: cannot be read: No such file"):
        observe(item, checksum=False)


def test_an_unreadable_source_is_refused_unless_one_may(source: Path, tmp_path: Path) -> None:
    source.chmod(0)
    item = file_item(source, tmp_path / "d")
    if os.access(source, os.R_OK):  # root
        assert observe(item, checksum=True).meta.mode == 0
        return
    with pytest.raises(SourceError, match="source: cannot be read: Permission denied"):
        observe(item, checksum=False)


def linked_tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("1")
    os.link(tree / "a", tree / "b")
    os.link(tree / "a", tree / "sub/c")
    return tree


def test_further_names_of_a_file_are_links_to_the_first(tmp_path: Path) -> None:
    listed = items.listed(b(linked_tree(tmp_path)), b(tmp_path / "new"))
    seen = {os.path.basename(one.destination): one for one in observe_all(listed, checksum=True)}
    assert seen[b"a"].kind is Kind.FILE
    assert seen[b"a"].checksum is not None
    for name in (b"b", b"c"):
        assert (seen[name].kind, seen[name].link_of) == (Kind.LINK, b(tmp_path / "new/a"))
        assert seen[name].meta == seen[b"a"].meta


def test_links_to_a_place_as_deep_as_a_path_can_be_are_links(tmp_path: Path) -> None:
    tree = linked_tree(tmp_path)
    deep = b(tmp_path) + b"/d" * 1900
    found = [
        Item(Kind.FILE, b(tree / name), deep + b"/" + name.encode(), 1, inode_of(tree / "a"))
        for name in ("a", "b")
    ]
    assert [one.kind for one in observe_all(found, checksum=False)] == [Kind.FILE, Kind.LINK]


def test_names_on_two_file_systems_are_two_files(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system here")
    tree = linked_tree(tmp_path)
    found = [
        Item(Kind.FILE, b(tree / "a"), b(tmp_path / "a1"), 1, inode_of(tree / "a")),
        Item(Kind.FILE, b(tree / "b"), b(memory / "nowhere/b1"), 1, inode_of(tree / "a")),
    ]
    assert [one.kind for one in observe_all(found, checksum=False)] == [Kind.FILE, Kind.FILE]


def inode_of(path: Path) -> tuple[int, int]:
    info = path.lstat()
    return info.st_dev, info.st_ino


def test_a_name_that_left_its_file_meanwhile_is_refused(tmp_path: Path) -> None:
    tree = linked_tree(tmp_path)
    found = list(items.listed(b(tree), b(tmp_path / "new")))
    (tree / "b").unlink()
    (tree / "b").write_text("another")
    with pytest.raises(SourceError, match="b: is another file than a moment ago"):
        list(observe_all(found, checksum=False))


def test_observing_changes_nothing(source: Path, tmp_path: Path) -> None:
    os.utime(source, ns=(3, 4))
    before = source.stat()
    observe(file_item(source, tmp_path / "d"), checksum=True)
    after = source.stat()
    assert (after.st_atime_ns, after.st_mtime_ns, stat.S_IMODE(after.st_mode)) == (
        before.st_atime_ns,
        before.st_mtime_ns,
        stat.S_IMODE(before.st_mode),
    )
    assert not (tmp_path / "d").exists()
