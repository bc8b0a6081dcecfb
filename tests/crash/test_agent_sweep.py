"""The agent, killed and refused at every file call between creating a record and its end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import disk, reorder, sweep, vendor
from tests.crash.agent_rig import AgentRig
from tests.crash.finalize_scene import state_of
from tests.crash.forkserver import SELF, ForkServer, Outcome, Who, owner
from tests.crash.programs import MODULES
from tests.crash.runs import warm
from tests.crash.shim import NONE, Action, Injection, Kind, Shim
from tests.crash.tally import budget, count

USE = "tests.crash.programs:use_everything"
WHO = [pytest.param(owner(), id="as the owner")]
if os.geteuid() == 0:
    WHO.append(pytest.param(SELF, id="as root"))


@pytest.fixture(scope="module")
def site(workshop: Path) -> Path:
    directory = workshop / "agent"
    directory.mkdir()
    return vendor.install(directory, ledger=directory / "root/ledger")


@pytest.fixture(scope="module")
def server(library: Path, site: Path) -> Iterator[ForkServer]:
    shim = Shim(library, site.parent)
    with ForkServer(shim, site.parent, MODULES, [site.parent / "site-packages"]) as running:
        warm(running, site)
        yield running


@pytest.fixture(params=WHO)
def rig(server: ForkServer, site: Path, request: pytest.FixtureRequest) -> AgentRig:
    who: Who = request.param
    return AgentRig(server, site.parent / "root", site, who, 0o4711)


def test_an_agent_that_nobody_disturbs_hands_everything_over(rig: AgentRig) -> None:
    assert rig.first.status == 0
    assert count("agent, uninterrupted", [rig.point(NONE)]) == ""


def test_killed_anywhere_the_agent_leaves_nothing_that_finalize_does_not_resolve(
    rig: AgentRig,
) -> None:
    every = list(sweep.kills(rig))
    points = sweep.chosen(every, budget(sample=25, ci=120))
    assert count("agent, kill", map(rig.point, points), of=len(every)) == ""


def test_refused_anywhere_the_agent_leaves_nothing_that_finalize_does_not_resolve(
    rig: AgentRig,
) -> None:
    every = [*sweep.refusals(rig), *sweep.short_writes(rig)]
    points = sweep.chosen(every, budget(sample=25, ci=150))
    assert count("agent, errno", map(rig.point, points), of=len(every)) == ""


def test_whatever_is_refused_every_public_call_raises_nothing_but_errors_of_ours(
    rig: AgentRig,
) -> None:
    calls = rig.calls_of(USE)
    every = [one for call in calls for one in sweep.refusals_at(call)]
    mine = sweep.turn(every, int(rig.who == SELF) % len(WHO), len(WHO))
    points = sweep.chosen(mine, budget(sample=40, ci=200))
    found = (rig.used(USE, point) for point in points)
    assert count("agent, every call of its API", found, of=len(every)) == ""


def test_a_directory_that_forget_removes_before_the_record_is_in_it_is_made_again(
    rig: AgentRig,
) -> None:
    made = next(one for one in rig.calls if one.kind & Kind.CHANGE and one.path.endswith(b".state"))
    before = rig.lay()
    with rig.shim.questions() as questions:
        rig.start(Injection(Action.ASK, made.sequence))
        assert questions.take().path == made.path
        (rig.root / "state/d").rmdir()
        questions.answer()
        ended = rig.server.event()
    assert isinstance(ended, Outcome)
    assert ended.status == 0, ended.output
    assert list(rig.judged(NONE, ended, before)) == []
    assert rig.finished(before) == []


def test_the_record_is_durable_before_the_backend_is_told_to_start(rig: AgentRig) -> None:
    told = next(index for index, call in enumerate(rig.calls) if call.other.endswith(b".started"))
    owner = rig.before[b""]
    ours = [call for call in rig.calls[:told] if b"/ledger" not in call.path]
    steps = disk.history(ours, os.fsencode(rig.root), (owner.uid, owner.gid))
    sure = reorder.durable(disk.disk_of(rig.before), steps).tree()
    record = state_of(sure[b"state/d/0.state"].content)
    assert record is not None
    assert (record.recorded, record.handle) == (True, f"stub-{record.head.id}")
