"""The finalizer, killed and refused at every file call that it makes.

Points are drawn by seed; POSTSTAGE_CRASH=ci draws more, =full takes all of them.
"""

import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from tests.crash import laws, reorder, sweep, trees, vendor
from tests.crash.axl_cases import AXL_CASES
from tests.crash.finalize_cases import CASES, MODES, Case, kinds
from tests.crash.forget_scene import ForgetScene
from tests.crash.forkserver import ForkServer, Job
from tests.crash.programs import MODULES
from tests.crash.runs import MINE, RUNS, rig_of, warm
from tests.crash.shim import Action, Injection, Kind, Shim
from tests.crash.sites import Deal
from tests.crash.sweep import Rig
from tests.crash.tally import LEVEL, Level, budget, count

NOT_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def params(*, modes: bool, runs: bool = True, salt: str = "") -> list[object]:
    """Case × who runs it × mode; one is drawn by `salt` for what is not asked for in full."""
    found: list[object] = []
    for case in (*CASES, *AXL_CASES):
        drawn = random.Random(f"{case.__name__} {salt}")
        who = list(RUNS) if runs else [drawn.choice(list(RUNS) if os.geteuid() == 0 else MINE)]
        for run in who:
            for mode in MODES if modes else [drawn.choice(MODES)]:
                name = f"{case.__name__}, {run}, {mode:04o}"
                marks = [] if run in MINE else [NOT_ROOT]
                found.append(pytest.param(case, run, mode, id=name, marks=marks))
    return found


def over(what: str, *, modes: bool, runs: bool = True) -> pytest.MarkDecorator:
    """Parametrise by case, run and mode; `modes` and `runs` in full at the level in force."""
    return pytest.mark.parametrize(
        ("case", "run", "mode"), params(modes=modes, runs=runs, salt=what)
    )


IN_FULL = LEVEL is Level.FULL
NO_SAMPLE = LEVEL is not Level.SAMPLE


@pytest.fixture(scope="module")
def site(workshop: Path) -> Path:
    return vendor.install(workshop)


@pytest.fixture(scope="module")
def server(library: Path, workshop: Path, site: Path) -> Iterator[ForkServer]:
    directory = workshop / "server"
    directory.mkdir()
    shim = Shim(library, directory)
    with ForkServer(shim, directory, MODULES, [workshop / "site-packages"]) as running:
        warm(running, site)
        yield running


@pytest.mark.parametrize(
    "run", [pytest.param(run, marks=[] if run in MINE else [NOT_ROOT]) for run in RUNS]
)
def test_the_command_makes_the_calls_of_the_worker_that_is_swept(
    server: ForkServer, site: Path, run: str
) -> None:
    rig = rig_of(server, site, kinds, run, 0o4711)
    rig.scene.lay(rig.root)
    server.shim.arm(rig.root, log=True)
    command = Job("tests.crash.programs:finalize", rig.scene.arguments(rig.root), rig.who)
    assert server.run(command).status == rig.first.status
    made = [(call.name, call.path, call.other) for call in server.shim.log()]
    assert made == [(call.name, call.path, call.other) for call in rig.calls]


@over("uninterrupted", modes=NO_SAMPLE)
def test_an_uninterrupted_run_settles_everything_and_the_next_changes_nothing(
    server: ForkServer, site: Path, case: Case, run: str, mode: int
) -> None:
    rig = rig_of(server, site, case, run, mode)
    assert count("uninterrupted", [rig.uninterrupted()]) == ""


@over("kill", modes=IN_FULL)
def test_killed_at_any_call_it_loses_nothing_and_recovers(
    server: ForkServer, site: Path, case: Case, run: str, mode: int
) -> None:
    rig = rig_of(server, site, case, run, mode)
    every = list(sweep.kills(rig))
    points = sweep.chosen(every, budget(sample=6, ci=20))
    assert count("kill", map(rig.point, points), of=len(every)) == ""


@over("kill of the command", modes=False, runs=False)
def test_killed_at_any_call_with_the_process_that_waits_for_it_nothing_is_lost(
    server: ForkServer, site: Path, case: Case, run: str, mode: int
) -> None:
    rig = rig_of(server, site, case, run, mode, target="tests.crash.programs:finalize")
    every = list(sweep.kills(rig))
    points = sweep.chosen(every, budget(sample=4, ci=10))
    assert count("kill of the command", map(rig.point, points), of=len(every)) == ""


@over("double kill", modes=IN_FULL, runs=NO_SAMPLE)
def test_killed_again_while_it_recovers_it_still_recovers(
    server: ForkServer, site: Path, case: Case, run: str, mode: int
) -> None:
    rig = rig_of(server, site, case, run, mode)
    pairs = every = list(sweep.double_kills(rig))
    if IN_FULL:  # the mode is a number that is handed on: each pair has one of them
        pairs = sweep.turn(sweep.killed_twice(rig), MODES.index(mode), len(MODES))
    pairs = sweep.chosen(pairs, budget(sample=4, ci=8))
    assert count("double kill", (rig.point(*pair) for pair in pairs), of=len(every)) == ""


@pytest.fixture(scope="module")
def deals(server: ForkServer, site: Path) -> Callable[[str], Deal]:
    """For each way to run: who comes to which place of the program."""

    @lru_cache
    def deal(run: str) -> Deal:
        found = Deal()
        for case, mode in itertools.product((*CASES, *AXL_CASES), MODES):
            rig = rig_of(server, site, case, run, mode)
            found.join((case.__name__, mode), rig.calls, rig.root)
        return found

    return deal


@over("refusal", modes=IN_FULL)
def test_refused_at_any_call_it_loses_nothing_names_it_and_resumes(
    server: ForkServer, site: Path, deals: Callable[[str], Deal], case: Case, run: str, mode: int
) -> None:
    deal = deals(run) if IN_FULL else None
    rig = rig_of(server, site, case, run, mode)
    points = every = list(sweep.refusals(rig))
    if deal is not None:
        points = list(deal.of((case.__name__, mode), rig.calls, rig.root, every))
    points = sweep.chosen(points, budget(sample=6, ci=25))
    assert count("errno", map(rig.point, points), of=len(every)) == ""
    assert count("short write", map(rig.point, sweep.short_writes(rig))) == ""


@over("failed sync", modes=IN_FULL, runs=NO_SAMPLE)
def test_a_file_whose_sync_failed_is_kept_and_named_and_not_published(
    server: ForkServer, site: Path, case: Case, run: str, mode: int
) -> None:
    rig = rig_of(server, site, case, run, mode)
    points = every = list(sweep.failed_syncs(rig))
    if IN_FULL:  # the mode is a number that is handed on
        points = sweep.turn(every, MODES.index(mode), len(MODES))
    points = sweep.chosen(points, budget(sample=4, ci=8))
    assert count("failed sync", map(rig.point, points), of=len(every)) == ""


@over("reordering", modes=IN_FULL, runs=NO_SAMPLE)
@pytest.mark.parametrize("unsynced", [False, True], ids=["", "its bytes not yet synced"])
def test_whatever_order_the_disk_took_its_writes_in_no_law_is_broken(
    server: ForkServer, site: Path, case: Case, run: str, mode: int, unsynced: bool
) -> None:
    rig = rig_of(server, site, case, run, mode)
    states = reorder.judged(rig, budget=budget(sample=4, ci=12), unsynced=unsynced)
    assert count("reordering", states) == ""


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_where_nobody_can_be_kept_out_it_says_so_and_touches_nothing(
    server: ForkServer, site: Path, error: int
) -> None:
    rig = rig_of(server, site, CASES[0], "as the owner", 0o640)
    before = rig.lay()
    refused = rig.run(Injection(Action.REFUSE, 1, error=error, sticky=True, mask=Kind.LOCK))
    assert refused.status == ExitCode.PERMISSION
    assert "has no locks (flock" in refused.output
    assert laws.violations(rig.scene, before, trees.look(rig.root), settled=False) == []
    assert not rig.scene.settled(trees.look(rig.root))


def test_forget_stopped_anywhere_touches_no_file_of_a_job_and_can_be_done_again(
    server: ForkServer, site: Path
) -> None:
    done = rig_of(server, site, CASES[0], "as the owner", 0o444)
    rig = Rig(server, done.root, ForgetScene(done.end, site), done.who)
    assert count("forget", [rig.uninterrupted()]) == ""
    every = [*sweep.kills(rig), *sweep.refusals(rig)]
    drawn = sweep.chosen(every, budget(sample=25, ci=150))
    assert count("forget", map(rig.point, drawn), of=len(every)) == ""
