"""The sweep finds what is wrong with a wrong program and nothing wrong with a right one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import sweep
from tests.crash.forkserver import SELF, ForkServer, Who, owner
from tests.crash.shim import Shim
from tests.crash.standin_scene import scene
from tests.crash.sweep import Finding, Rig


@pytest.fixture(scope="module")
def server(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    directory = tmp_path_factory.mktemp("standin")
    with ForkServer(Shim(library, directory), directory, ["tests.crash.standin"]) as running:
        yield running


def findings(rig: Rig, budget: int | None) -> Iterator[Finding]:
    """What breaks a law, one after the other: a test may stop at the first."""
    points = sweep.chosen([*sweep.kills(rig), *sweep.refusals(rig)], budget)
    for finding in itertools.chain([rig.uninterrupted()], map(rig.point, points)):
        if finding.violations:
            yield finding


@pytest.mark.parametrize("who", [SELF, owner()], ids=str)
@pytest.mark.parametrize("replaces", [False, True])
def test_a_right_program_breaks_no_law(
    server: ForkServer, workshop: Path, who: Who, replaces: bool
) -> None:
    rig = Rig(server, workshop / "root", scene(who=who, replaces=replaces), who)
    assert "\n".join(map(str, findings(rig, budget=60))) == ""


@pytest.mark.parametrize(
    ("defect", "law"),
    [
        ("rename first", "law 1"),
        ("mode before owner", "law 1"),
        ("commit first", "law 2"),
        ("copy instead of rename", "law 1"),
        ("unlink first", "law 1"),
        ("always touch", "law 5"),
        ("swallow errors", "law 2"),
        ("trust absence", "law 2"),
    ],
)
def test_a_wrong_program_is_found_out(
    server: ForkServer, workshop: Path, defect: str, law: str
) -> None:
    replaces = defect == "unlink first"
    rig = Rig(server, workshop / "root", scene(defect, replaces=replaces))
    broken = (text for finding in findings(rig, budget=None) for text in finding.violations)
    assert any(law in text for text in broken)
