"""Each seeded bug is found by the harness that is meant for it."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import finalize_cases, mutants, reorder, sweep, tally, vendor
from tests.crash.forkserver import ForkServer
from tests.crash.mutants import MUTANTS, Mutant
from tests.crash.programs import MODULES
from tests.crash.runs import MINE, rig_of
from tests.crash.shim import Shim
from tests.crash.sweep import Finding, Rig

MOST = 400  # points until a bug must have shown


@pytest.fixture(scope="module")
def site(workshop: Path) -> Path:
    directory = workshop / "mutants"
    directory.mkdir()
    return vendor.install(directory)


def findings(rig: Rig, harness: str) -> Iterator[Finding]:
    """Everything that the harness looks at, one after the other."""
    if harness == "reordering":
        yield from itertools.chain(reorder.judged(rig), reorder.judged(rig, unsynced=True))
    points = {
        "kill": sweep.kills,
        "refusal": sweep.refusals,
        "failed sync": sweep.failed_syncs,
    }
    if harness == "uninterrupted":
        yield rig.uninterrupted()
    elif harness in points:
        drawn = sweep.chosen(points[harness](rig), MOST)
        random.Random(1).shuffle(drawn)
        yield from map(rig.point, drawn)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_harness_finds(library: Path, site: Path, mutant: Mutant) -> None:
    if mutant.run not in MINE and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    directory = site.parent / str(MUTANTS.index(mutant))  # where every user can read it
    directory.mkdir()
    paths = [mutants.build(mutant, directory), site.parent / "site-packages"]
    with ForkServer(Shim(library, directory), directory, MODULES, paths) as server:
        case = getattr(finalize_cases, mutant.case)
        rig = rig_of(server, site, case, mutant.run, mutant.mode)
        broken = (text for one in findings(rig, mutant.harness) for text in one.violations)
        found = any(text.startswith(mutant.law) for text in broken)
    tally.note("seeded bugs", found=found)
    assert found
