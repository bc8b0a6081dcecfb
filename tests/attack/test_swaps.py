"""At every call of the finalizer a name of its STATEDIR or destination becomes something else."""

import random
from pathlib import Path

import pytest

from tests.attack import scenes
from tests.attack.levels import budget
from tests.attack.rig import Attack, Rig
from tests.crash import tally
from tests.crash.forkserver import ForkServer


def chosen(attacks: list[Attack], count: int | None) -> list[Attack]:
    """`count` of `attacks`, drawn by a fixed seed; all for None."""
    if count is None or len(attacks) <= count:
        return attacks
    drawn = random.Random(3).sample(range(len(attacks)), count)
    return [attacks[index] for index in sorted(drawn)]


@pytest.mark.parametrize("trusted", [False, True], ids=["the owner's", "root's alone"])
def test_whatever_is_swapped_at_whichever_call_nobody_else_is_touched(
    server: ForkServer, site: Path, trusted: bool
) -> None:
    scene = scenes.everything(site, trusted=trusted)
    rig = Rig(server, site.parent / "root", scene)
    assert rig.first.status == scene.done_status, rig.first.output
    violations: list[str] = []
    attacks = chosen(rig.attacks(), budget(sample=150, ci=600))
    for attack in attacks:
        violations += rig.suffer(attack)
    tally.add([("attack", scene.name, len(attacks), rig.hits, len(violations))])
    assert not violations, "\n".join(violations[:20])
