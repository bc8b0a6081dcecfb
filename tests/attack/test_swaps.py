"""At every call of the finalizer a name of its STATEDIR or destination becomes something else."""

from pathlib import Path

import pytest

from tests.attack import scenes
from tests.attack.levels import FULL, budget
from tests.attack.rig import Rig
from tests.crash import sweep, tally
from tests.crash.forkserver import ForkServer

SHARES = 12 if FULL else 1


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("trusted", [False, True], ids=["the owner's", "root's alone"])
def test_whatever_is_swapped_at_whichever_call_nobody_else_is_touched(
    server: ForkServer, site: Path, trusted: bool, share: int
) -> None:
    scene = scenes.everything(site, trusted=trusted)
    rig = Rig(server, site.parent / "root", scene)
    assert rig.first.status == scene.done_status, rig.first.output
    violations: list[str] = []
    attacks = sweep.turn(rig.different(), share, SHARES)
    attacks = sweep.chosen(attacks, budget(sample=150, ci=600), seed=3)
    for attack in attacks:
        violations += rig.suffer(attack)
    there = len(sweep.turn(rig.attacks(), share, SHARES))
    tally.sum_up(f"attack, {scene.name}", there, len(attacks), rig.hits, len(violations))
    assert not violations, "\n".join(violations[:20])
