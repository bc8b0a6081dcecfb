"""The finalizer on real file systems whose power is cut between any two of its operations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import cuts, finalize_cases, mutants, vendor
from tests.crash.blockdev import FILE_SYSTEMS, Disk, FileSystem, missing
from tests.crash.forkserver import ForkServer
from tests.crash.mutants import MUTANTS
from tests.crash.programs import MODULES
from tests.crash.runs import rig_of
from tests.crash.shim import Shim
from tests.crash.sweep import Rig
from tests.crash.tally import LEVEL, Level, budget, count

CASES = ["publish", "replacing", "kinds"]
SYNCED = [True]
if LEVEL is not Level.SAMPLE:
    CASES += ["conflict_newer", "conflict_older", "failed", "checksum", "dataset"]
    SYNCED += [False]


@pytest.fixture(scope="module")
def site(workshop: Path) -> Path:
    directory = workshop / "cuts"
    directory.mkdir()
    return vendor.install(directory)


@pytest.fixture(scope="module")
def server(library: Path, site: Path) -> Iterator[ForkServer]:
    shim = Shim(library, site.parent)
    with ForkServer(shim, site.parent, MODULES, [site.parent / "site-packages"]) as running:
        yield running


@pytest.fixture(params=FILE_SYSTEMS, ids=lambda system: system.name)
def disk(site: Path, request: pytest.FixtureRequest) -> Disk:
    system: FileSystem = request.param
    if missing(system):
        pytest.skip(missing(system))
    mountpoint = site.parent / "mnt"
    mountpoint.mkdir(exist_ok=True)
    return Disk(system, site.parent / "disk.img", mountpoint)


def rig_on(disk: Disk, server: ForkServer, site: Path, case: str) -> Rig:
    """The case on `disk`, run once there."""
    disk.make()
    with disk.mounted():
        root = disk.mountpoint / "root"
        which = getattr(finalize_cases, case)
        return rig_of(server, site, which, "as root for others", 0o4711, root)


@pytest.mark.parametrize("unsynced", SYNCED, ids=("late", "synced")[: len(SYNCED)])
@pytest.mark.parametrize("case", CASES)
def test_after_a_power_cut_anywhere_no_law_is_broken_and_the_next_run_ends_it(
    server: ForkServer, site: Path, disk: Disk, case: str, unsynced: bool
) -> None:
    rig = rig_on(disk, server, site, case)
    found = cuts.judged(rig, disk, site.parent, unsynced=unsynced, budget=budget(sample=2, ci=10))
    assert count(f"power cut, {disk.system.name}", found) == ""


def test_a_finalizer_that_does_not_sync_is_found_out(library: Path, site: Path, disk: Disk) -> None:
    mutant = next(one for one in MUTANTS if one.name == "no sync of the files")
    directory = site.parent / f"mutant-{disk.system.name}"
    directory.mkdir()
    paths = [mutants.build(mutant, directory), site.parent / "site-packages"]
    with ForkServer(Shim(library, directory), directory, MODULES, paths) as server:
        rig = rig_on(disk, server, site, "publish")
        found = cuts.judged(rig, disk, site.parent, unsynced=True, budget=None)
        broken = [text for one in found for text in one.violations if text.startswith("law 1")]
    assert broken
