"""The finalizer over a file system that is slow, lacks what others have, and fails at random."""

import errno
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from tests.attack.levels import budget
from tests.crash import finalize_cases as cases
from tests.crash import laws, tally, trees
from tests.crash.finalize_cases import CASES, Case
from tests.crash.finalize_scene import ids_of
from tests.crash.forkserver import SELF, ForkServer, Who, owner
from tests.crash.sweep import NEEDS_PERSON, Rig
from tests.faultfs.mount import FaultFs, Faults, Lack, Op

DRAWN = "faults drawn, on FUSE"
SEEDS = range(1, 1 + (budget(sample=3, ci=6) or 40))
NAMES = (Op.LOOKUP, Op.OPEN, Op.CREATE, Op.RENAME, Op.RENAME2, Op.LINK, Op.UNLINK, Op.MKDIR)
ATTRIBUTES = (Op.GETATTR, Op.SETATTR)
CONTENTS = (Op.READ, Op.WRITE, Op.READDIR)
# What takes space is refused over quota; nothing else is.
SPACE = (Op.CREATE, Op.WRITE, Op.MKDIR, Op.SYMLINK, Op.LINK, Op.RENAME, Op.RENAME2, Op.SETATTR)
FAULTS = {
    errno.ESTALE: NAMES + ATTRIBUTES + CONTENTS,
    errno.EIO: NAMES + ATTRIBUTES + CONTENTS,
    errno.EDQUOT: SPACE,
}
SYNCS = (Op.FSYNC, Op.FSYNCDIR)
WHO = {"root": SELF, "the owner": owner()}
FILE_CASES = [case for case in CASES if case is not cases.kinds]


def rig_of(server: ForkServer, site: Path, fs: FaultFs, case: Case, who: Who = SELF) -> Rig:
    """The case laid out on the mounted file system, where it was run once."""
    scene = case(site, ids_of(who), ids_of(who), 0o2711)
    return Rig(server, fs.point / "root", scene, who)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_case_ends_as_it_does_on_any_file_system(
    server: ForkServer, site: Path, fs: FaultFs, case: Case, who: str
) -> None:
    assert list(rig_of(server, site, fs, case, WHO[who]).uninterrupted().violations) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_without_rename_flags_a_file_is_published_by_a_link_that_replaces_nothing(
    server: ForkServer, site: Path, fs: FaultFs, case: Case
) -> None:
    fs.lack(Lack.RENAME_FLAGS)
    linked = fs.count(Op.LINK)
    rig = rig_of(server, site, fs, case)
    assert case is not cases.publish or fs.count(Op.LINK) == linked + len(rig.scene.promises)
    assert list(rig.uninterrupted().violations) == []


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case.__name__)
def test_without_links_either_a_file_is_published_by_rename(
    server: ForkServer, site: Path, fs: FaultFs, case: Case
) -> None:
    fs.lack(Lack.RENAME_FLAGS | Lack.LINKS)
    assert list(rig_of(server, site, fs, case).uninterrupted().violations) == []


def test_a_hard_link_that_cannot_be_made_is_named_and_holds_up_nothing_else(
    server: ForkServer, site: Path, fs: FaultFs
) -> None:
    fs.lack(Lack.LINKS)
    rig = rig_of(server, site, fs, cases.kinds)
    report = json.loads(rig.first.output)
    (dataset,) = report["datasets"]
    (problem,) = [one for one in dataset["problems"] if one["destination"].endswith("/sub/other")]
    assert "hard link" in problem["reason"]
    assert dataset["files"] == {"published": 2, "running": 1, "unknown": 1}
    assert rig.first.status == report["exit_code"] != 0


def test_a_millisecond_an_operation_changes_nothing_but_the_time(
    server: ForkServer, site: Path, fs: FaultFs
) -> None:
    fs.delay(0.001)
    assert list(rig_of(server, site, fs, cases.publish).uninterrupted().violations) == []


def test_a_file_is_synced_by_itself_where_the_file_system_is_not_asked_to_sync(
    server: ForkServer, site: Path, fs: FaultFs
) -> None:
    # syncfs(2) of a FUSE file system says 0 and tells its daemon nothing (fs/fuse/inode.c).
    before = fs.count(Op.FSYNC)
    rig = rig_of(server, site, fs, cases.publish)
    files = [promise for promise in rig.scene.promises if promise.new is not None]
    assert fs.count(Op.FSYNC) - before >= len(files)


@pytest.mark.parametrize("error", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_whatever_fails_at_random_nothing_is_lost_and_a_clean_run_ends_it(
    server: ForkServer, site: Path, fs: FaultFs, case: Case, error: int
) -> None:
    rig = rig_of(server, site, fs, case)
    found = {
        str(faults): violations
        for seed, per_mille in zip(SEEDS, itertools.cycle((20, 100, 300)))
        if (faults := Faults(error, seed, FAULTS[error], per_mille))
        and (violations := [*_broken(rig, fs, faults), *rig.recover()])
    }
    tally.sum_up(DRAWN, 0, 0, 0, len(found))
    assert found == {}


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case.__name__)
def test_what_could_not_be_synced_is_never_called_published_by_a_later_sync(
    server: ForkServer, site: Path, fs: FaultFs, case: Case
) -> None:
    rig = rig_of(server, site, fs, case)
    found = {}
    for seed in SEEDS:
        faults = Faults(errno.EIO, seed, SYNCS, 400)
        violations = [*_broken(rig, fs, faults, settled=False), *_given_up(rig)]
        if violations:
            found[str(faults)] = violations
    tally.sum_up(DRAWN, 0, 0, 0, len(found))
    assert found == {}


@pytest.mark.parametrize("after", [0, 60])
def test_a_file_system_that_answers_no_more_does_not_hold_up_the_deadline(
    site: Path, fs: FaultFs, after: int
) -> None:
    scene = cases.publish(site, ids_of(SELF), ids_of(SELF), 0o640)
    root = fs.point / "root"
    scene.lay(root)
    before = trees.look(root)
    command = [sys.executable, "-m", "poststage", "finalize", "--no-wait", "--deadline", "0.5"]
    command += ["--site", str(site), "--dir", str(root / "state")]
    search = os.pathsep.join([str(Path(__file__).parents[2]), str(site.parent / "site-packages")])
    fs.hang(after)
    started = time.monotonic()
    ended = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search})
    try:
        assert ended.wait(timeout=60) == ExitCode.RUN_AGAIN
        assert time.monotonic() - started < 30
    finally:
        fs.be_honest()
    assert laws.violations(scene, before, trees.look(root)) == []


def _broken(rig: Rig, fs: FaultFs, faults: Faults, *, settled: bool | None = None) -> Iterator[str]:
    """What a run under `faults` breaks."""
    rig.scene.lay(rig.root)
    before = trees.look(rig.root)
    fs.lie(faults)
    outcome = rig.run()
    tally.sum_up(DRAWN, 1, 1, int(fs.fired > 0), 0)
    fs.be_honest()
    now = trees.look(rig.root)
    yield from laws.violations(rig.scene, before, now, settled=settled)
    if outcome.status == 0 and not rig.scene.settled(now):
        yield "law 4: exit 0, and not all is committed"
    if outcome.status in {None, 1} or "Traceback" in outcome.output:
        yield f"ended with {outcome.status}: {outcome.output}"


def _given_up(rig: Rig) -> Iterator[str]:
    before = trees.look(rig.root)
    clean = rig.run()
    if clean.status not in {rig.scene.done_status, NEEDS_PERSON}:
        yield f"law 7: the clean run ended with {clean.status}: {clean.output}"
    yield from laws.violations(rig.scene, before, trees.look(rig.root), settled=False)
