"""What a crash may leave of unsynced operations, and programs that get their syncs wrong."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import reorder, trees
from tests.crash.disk import Disk, Op, Part, Sync, disk_of, history, written
from tests.crash.forkserver import ForkServer
from tests.crash.shim import Call, Kind, Shim
from tests.crash.standin_scene import scene
from tests.crash.sweep import Finding, Rig
from tests.crash.trees import Node


def write(ino: int, data: bytes) -> Op:
    return written(ino, data, "write")


def name(path: bytes, ino: int, *, directory: bytes = b"") -> Op:
    def change(disk: Disk, part: object) -> None:
        if part is not Part.NONE:
            disk.names[path] = ino

    return Op("link", change, directories=(directory,))


EMPTY = Disk({1: Node(stat.S_IFREG, 0o644, 0, 0, 0, 0)}, {})


def contents(steps: list[Op | Sync]) -> set[tuple[tuple[bytes, bytes], ...]]:
    """Every state as (name, content) pairs."""
    found = (disk.tree() for _, disk in reorder.states(EMPTY, steps))
    return {tuple((key, node.content) for key, node in sorted(tree.items())) for tree in found}


def test_unsynced_operations_reach_the_disk_in_any_subset() -> None:
    seen = contents([name(b"a", 1), name(b"b", 1)])
    assert {tuple(key for key, _ in state) for state in seen} == {
        (), (b"a",), (b"b",), (b"a", b"b"),
    }  # fmt: skip


def test_a_name_may_arrive_without_the_bytes_or_with_half_of_them_or_with_zeros() -> None:
    seen = contents([write(1, b"full"), name(b"a", 1)])
    assert {state[0][1] for state in seen if state} == {b"", b"fu", b"\0\0\0\0", b"full"}


def test_an_fsync_of_the_file_before_the_name_leaves_only_whole_bytes() -> None:
    seen = contents([write(1, b"full"), Sync(inode=1), name(b"a", 1)])
    assert {state[0][1] for state in seen if state} == {b"full"}


def test_an_fsync_of_a_directory_covers_its_names_and_not_those_of_another() -> None:
    steps: list[Op | Sync] = [
        name(b"a", 1),
        name(b"d/b", 1, directory=b"d"),
        Sync(2, b""),
        name(b"c", 1),
    ]
    last = {state for state in contents(steps) if any(key == b"c" for key, _ in state)}
    names = {tuple(key for key, _ in state) for state in last}
    assert names == {(b"a", b"c"), (b"a", b"c", b"d/b")}


def test_a_new_file_may_be_synced_before_its_name_is() -> None:
    call = Call("open", Kind.CHANGE, 1, b"/r/new", b"", 3, 0, (0, 0o600, 0, 0), 0, 7, b"", 1, True)
    made = history([call], b"/r", (0, 0))
    steps: list[Op | Sync] = [*made, write(7, b"full"), Sync(inode=7)]
    assert contents(steps) >= {(), ((b"new", b"full"),)}
    assert reorder.durable(EMPTY, [*steps, Sync(2, b"")]).tree()[b"new"].content == b"full"


def test_syncfs_covers_everything() -> None:
    seen = contents([write(1, b"full"), name(b"a", 1), Sync(), name(b"b", 1)])
    assert ((b"a", b"full"), (b"b", b"full")) in seen
    assert ((b"b", b"full"),) not in seen


def test_a_tree_laid_out_and_looked_at_is_the_same_tree(tmp_path: Path) -> None:
    tree = {
        b"": trees.directory(mode=0o711),
        b"file": trees.file(b"x", mode=0o4711, mtime_ns=-5),
        b"sub": trees.directory(mode=0o555),
        b"sub/none": trees.file(b"y", mode=0),
    }
    trees.lay(tmp_path / "root", tree)
    seen = trees.look(tmp_path / "root")
    again = disk_of(seen).tree()
    assert again == seen
    assert [(n.mode, n.content, n.mtime_ns) for n in seen.values() if n.kind == stat.S_IFREG] == [
        (0o4711, b"x", -5), (0, b"y", 2 * 10**9),
    ]  # fmt: skip
    trees.clear(tmp_path / "root")


@pytest.fixture(scope="module")
def server(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    directory = tmp_path_factory.mktemp("standin")
    with ForkServer(Shim(library, directory), directory, ["tests.crash.standin"]) as running:
        yield running


def broken(server: ForkServer, workshop: Path, defect: str) -> list[Finding]:
    rig = Rig(server, workshop / "root", scene(defect, replaces=True))
    found = reorder.judged(rig, unsynced=True)
    return [finding for finding in found if finding.violations]


def test_a_program_that_syncs_in_the_right_places_breaks_no_law(
    server: ForkServer, workshop: Path
) -> None:
    assert "\n".join(map(str, broken(server, workshop, ""))) == ""


@pytest.mark.parametrize(
    ("defect", "law"),
    [
        ("no sync of the file", "law 1"),
        ("no sync of the directory", "law 2: committed"),
        ("rename first", "law 1"),
        ("copy instead of rename", "law 1"),
        ("commit first", "law 2: committed"),
    ],
)
def test_a_program_that_syncs_in_the_wrong_places_is_found_out(
    server: ForkServer, workshop: Path, defect: str, law: str
) -> None:
    found = broken(server, workshop, defect)
    assert any(text.startswith(law) for finding in found for text in finding.violations)
