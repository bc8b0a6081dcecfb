"""Names that somebody exchanges all the time, while root finalizes again and again."""

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.attack import scenes, victim
from tests.attack.actions import PUTS, Put, plant
from tests.attack.levels import FULL
from tests.attack.rig import Rig
from tests.attack.victim import ATTACKER
from tests.crash import tally
from tests.crash.forkserver import ForkServer

SOURCE = Path(__file__).with_name("racer.c")
SWAPS = 1_000_000 if FULL else 20_000  # for each pair of names
RUNS_LEAST = 20
ROUTES = {
    "the owner's, state files": (False, [b"state/d/0.state", b"state/d", b"state/.finalize.lock"]),
    "the owner's, destinations": (False, [b"home/out/.one", b"home/out/two", b"home/out"]),
    "root's alone, destinations": (True, [b"home/out/.one", b"home/out/sub", b"home/out"]),
    "root's alone, a symlink": (True, [b"home/out/.sym", b"home/out/two", b"home/out/.failed"]),
}


@pytest.fixture(scope="module")
def racer(workshop: Path) -> Path:
    program = workshop / "racer"
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True)
    return program


class Race:
    """The attacker's program, exchanging `pairs` of names with no more than his own rights."""

    def __init__(self, program: Path, directory: Path, pairs: list[Path]) -> None:
        counter = directory / "swaps"
        counter.write_bytes(bytes(8))
        os.chown(counter, ATTACKER, ATTACKER)
        with open(counter, "r+b") as file:
            self._swaps = mmap.mmap(file.fileno(), 8)
        self._process = subprocess.Popen(
            [program, counter, *pairs], user=ATTACKER, group=ATTACKER, extra_groups=[]
        )

    @property
    def swaps(self) -> int:
        """How many there have been."""
        count: int = struct.unpack("=Q", self._swaps)[0]
        return count

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def racing(program: Path, directory: Path, pairs: list[Path]) -> Iterator[Race]:
    race = Race(program, directory, pairs)
    try:
        yield race
    finally:
        race.end()


@pytest.mark.parametrize("route", ROUTES)
def test_however_often_names_are_exchanged_nobody_else_is_touched(
    server: ForkServer, site: Path, racer: Path, route: str
) -> None:
    trusted, places = ROUTES[route]
    rig = Rig(server, site.parent / "raced", scenes.everything(site, trusted=trusted))
    swaps, runs, found = 0, 0, list[str]()
    while swaps < SWAPS or runs < RUNS_LEAST:
        put = PUTS[runs % len(PUTS)]
        theirs = rig.lay()
        pairs = [path for place in places for path in _pair(rig, place, put)]
        with racing(racer, site.parent, pairs) as race:
            outcome = rig.run_alone()
            swaps += race.swaps
        found += [f"{put.__name__}: {one}" for one in rig.harm(theirs, outcome)]
        runs += 1
    tally.sum_up("attack, races (exchanges)", swaps, swaps, swaps, len(found))
    assert found == []


def _pair(rig: Rig, place: bytes, put: Put) -> list[Path]:
    """The name `place` stands for, and one beside it with something else under it."""
    directory, _, name = place.rpartition(b"/")
    if name.startswith(b".") and name != b".finalize.lock":
        name = rig.temp_of(directory + b"/" + name[1:])
    path = rig.root / os.fsdecode(directory) / os.fsdecode(name)
    other = path.with_name(f"other-{victim.SIZE}-{path.name[:40]}")
    plant(put, other, rig.root)
    if not path.exists():
        path.touch()
        os.chown(path, ATTACKER, ATTACKER)
    return [path, other]
