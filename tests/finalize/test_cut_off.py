"""A finalizer that is killed before any one change, and then run again, comes to the same end.

Small scenes, every change, on file systems that lack this or that. tests/crash does the same
for every call of the whole program.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from msgspec import Struct

from poststage.model import Entry, Kind, Verdict
from tests.finalize import house as h
from tests.finalize.house import House
from tests.finalize.kernel import KERNELS, Kernel

OLD, THEIRS = b"what stood there before", b"somebody was faster"


class Scene(Struct, frozen=True):
    """What is laid out, what must never be lost, and the verdict of each entry."""

    lay: Callable[[House], list[Entry]]
    kept: tuple[bytes, ...]
    ends: tuple[Verdict, ...]


def publish(house: House) -> list[Entry]:
    entry = house.entry(mode=0o4755)
    house.moved(entry)
    return [entry]


def replace(house: House) -> list[Entry]:
    there = h.put(house.dst / "f", OLD)
    entry = house.entry(prior=h.identity(there), mode=0o444)
    house.moved(entry)
    return [entry]


def take_name(house: House) -> list[Entry]:
    h.put(house.dst / "f", THEIRS, mtime_ns=h.MTIME_NS - 9)
    return publish(house)


def step_aside(house: House) -> list[Entry]:
    h.put(house.dst / "f", THEIRS, mtime_ns=h.MTIME_NS + 9)
    return publish(house)


def directory_there(house: House) -> list[Entry]:
    (house.dst / "f").mkdir()
    return publish(house)


def symlink(house: House) -> list[Entry]:
    return [house.entry("l", kind=Kind.SYMLINK, target=b"/nowhere", size=0, mode=0o777)]


def symlink_replaces(house: House) -> list[Entry]:
    there = h.put(house.dst / "l", OLD)
    return [
        house.entry(
            "l", kind=Kind.SYMLINK, target=b"x", prior=h.identity(there), size=0, mode=0o777
        )
    ]


def symlink_takes_name(house: House) -> list[Entry]:
    h.put(house.dst / "l", THEIRS, mtime_ns=h.MTIME_NS - 9)
    return symlink(house)


def symlink_steps_aside(house: House) -> list[Entry]:
    h.put(house.dst / "l", THEIRS, mtime_ns=h.MTIME_NS + 9)
    return symlink(house)


def further_name(house: House) -> list[Entry]:
    return [*publish(house), house.entry("g", 1, kind=Kind.LINK, link_to=0)]


def directories(house: House) -> list[Entry]:
    outer = house.entry("a", 0, kind=Kind.DIRECTORY, mode=0o555)
    inner = house.entry("a/b", 1, kind=Kind.DIRECTORY, mode=0o711)
    link = house.entry("a/b/l", 2, kind=Kind.SYMLINK, target=b"x", size=0, mode=0o777)
    return [outer, inner, link]


DONE, CONFLICT = Verdict.PUBLISHED, Verdict.CONFLICT
SCENES = {
    "publish": Scene(publish, (h.NEW,), (DONE,)),
    "replace": Scene(replace, (h.NEW,), (DONE,)),
    "take the name": Scene(take_name, (h.NEW, THEIRS), (CONFLICT,)),
    "step aside": Scene(step_aside, (h.NEW, THEIRS), (CONFLICT,)),
    "a directory is there": Scene(directory_there, (h.NEW,), (CONFLICT,)),
    "a symlink": Scene(symlink, (), (DONE,)),
    "a symlink replaces": Scene(symlink_replaces, (), (DONE,)),
    "a symlink takes the name": Scene(symlink_takes_name, (THEIRS,), (CONFLICT,)),
    "a symlink steps aside": Scene(symlink_steps_aside, (THEIRS,), (CONFLICT,)),
    "a further name": Scene(further_name, (h.NEW,), (DONE, DONE)),
    "directories": Scene(directories, (), (DONE,) * 3),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("name", SCENES)
def test_killed_before_any_change_and_run_again_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, name: str, kernel: Kernel
) -> None:
    # Where nothing but a plain rename is left, a conflict copy that was made and not recorded
    # cannot be told from somebody else's: the files are right, the verdict may be "published".
    if not kernel.hard_links and name == "a further name":
        pytest.skip("nobody can make one here")
    scene = SCENES[name]
    undisturbed = laid(tmp_path / "0", scene)
    assert kernel.run(partial(settles, undisturbed, scene, exact=True))
    wanted = tree(undisturbed.dst)
    for house, number in rounds(tmp_path, scene):
        killed = not with_kill(kernel, number).run(partial(settles, house, scene, exact=False))
        nothing_is_lost(house, scene)
        assert kernel.run(partial(settles, house, scene, exact=kernel.hard_links))
        assert tree(house.dst) == wanted, f"killed before change {number}"
        if not killed:
            assert number > len(scene.ends)
            return


def rounds(tmp_path: Path, scene: Scene) -> Iterator[tuple[House, int]]:
    for number in count(1):
        assert number < 50, "it never ends"
        yield laid(tmp_path / str(number), scene), number


def laid(top: Path, scene: Scene) -> House:
    if top.exists():
        shutil.rmtree(top)
    top.mkdir()
    house = House(top)
    house.write(*scene.lay(house))
    return house


def with_kill(kernel: Kernel, number: int) -> Kernel:
    return Kernel(kernel.name, kernel.rename_flags, kernel.hard_links, number)


def settles(house: House, scene: Scene, *, exact: bool) -> None:
    found = tuple(one.verdict for one in h.settle(house.loaded()))
    assert found == scene.ends or not exact, found


def nothing_is_lost(house: House, scene: Scene) -> None:
    """Each content stands somewhere, and the destination is absent, old or new, and exact."""
    there = {
        h.read(path) for path in house.dst.rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert set(scene.kept) <= there
    path = house.dst / "f"
    if path.is_file() and h.read(path) == h.NEW:
        entry = house.loaded().state.entries[0]
        assert h.meta_at(path) == entry.meta
    elif path.is_file():
        assert h.read(path) in {OLD, THEIRS}


def tree(top: Path) -> dict[str, object]:
    """Names, kinds, modes, mtimes and contents; a directory's times are its entries'."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        info = path.lstat()
        what: object = None
        if path.is_symlink():
            what = os.readlink(path)
        elif path.is_file():
            what = h.read(path)
        times = None if path.is_dir() and not path.is_symlink() else info.st_mtime_ns
        found[str(path.relative_to(top))] = (info.st_mode, info.st_nlink, times, what)
    return found
