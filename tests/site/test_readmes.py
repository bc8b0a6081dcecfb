"""What the README of each site configuration tells an admin to type, typed.

slurm-lua's is followed on a real Slurm, tests/slurm/test_readme.py.
"""

import re
import subprocess
from pathlib import Path

import pytest

from poststage.site import hooks
from tests.site.scene import Scene

CONFIGS = Path(__file__).parents[2] / "site-configs"
# Kind → hooks that stand where README has put them, below the test's own directory.
INSTALLED = {
    "flux-rabbit": ("etc/flux/system/epilog.d/poststage.sh",),
    "lsf-bbapi": ("opt/poststage/libexec/stage-out-1", "opt/poststage/libexec/stage-out-2"),
    "node-local": ("opt/poststage/libexec/drain.sh",),
    "pbs": ("poststage-hook.py",),
    "slurm-epilog": ("etc/slurm/epilog-poststage",),
}
PLACES = ("/opt/poststage", "/etc", "/lustre", "/p/poststage")
NOT_HERE = ("qmgr", "scontrol")  # their words are written down


def commands(kind: str, top: Path) -> str:
    """The lines of the first block of commands, in `top` instead of the machine's own places."""
    text = (CONFIGS / kind / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)[0]
    places = "|".join(map(re.escape, PLACES))
    return re.sub(rf"(?<![\w/]){places}", lambda found: f"{top}{found[0]}", block)


def typed(scene: Scene, lines: str) -> subprocess.CompletedProcess[str]:
    """A shell that runs them; `poststage site check` may find something wrong here."""
    program = lines.replace("site check", "site check || [ $? = 3 ]")
    return subprocess.run(
        ["bash", "-euc", program],
        env={"PATH": f"{scene.bin}:/usr/bin:/bin", "HOME": str(scene.top)},
        capture_output=True,
        text=True,
        check=False,
        cwd=scene.top,
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A machine with poststage below opt, and commands of schedulers that write down."""
    one = Scene(tmp_path, "")
    for path in ("opt/poststage", "etc/flux/system/epilog.d", "etc/slurm", "p/poststage", "lustre"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "opt/poststage/bin").symlink_to(one.bin)
    for name in NOT_HERE:
        one.command(name, f'echo {name} "$@" >>{tmp_path}/typed')
    return one


@pytest.mark.parametrize("kind", INSTALLED)
def test_its_commands_install_settings_that_are_valid_and_hooks_that_know_them(
    scene: Scene, kind: str
) -> None:
    ended = typed(scene, commands(kind, scene.top))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "settings" in ended.stdout
    shipped = hooks.toml_of(kind).read_text()
    assert (scene.top / "etc/poststage/site.toml").read_text() == shipped
    for name in INSTALLED[kind]:
        text = (scene.top / name).read_text()
        assert text.splitlines()[0] == hooks.hook(hook_of(kind, name), {}).splitlines()[0]


def hook_of(kind: str, path: str) -> str:
    """What `poststage site hook` calls the hook that README puts at `path`."""
    many = len(next(one for one in hooks.kinds() if one.name == kind).hooks) > 1
    return f"{kind}/{Path(path).name}" if many else kind


def test_pbs_is_told_of_the_hook(scene: Scene) -> None:
    typed(scene, commands("pbs", scene.top))
    assert "import hook poststage application/x-python" in (scene.top / "typed").read_text()


def test_slurm_is_told_of_the_epilog(scene: Scene) -> None:
    typed(scene, commands("slurm-epilog", scene.top))
    conf = (scene.top / "etc/slurm/slurm.conf").read_text()
    assert conf == f"EpilogSlurmctld={scene.top}/etc/slurm/epilog-poststage\n"
    assert (scene.top / "typed").read_text() == "scontrol reconfigure\n"


def test_the_emulator_s_commands_start_one(scene: Scene) -> None:
    lines = commands("emulator", scene.top).replace("/var/tmp", str(scene.top))
    fill = f"sed -i s,/var/tmp,{scene.top}, ~/poststage.toml\n"
    lines = lines.replace("export", f"{fill}export")
    try:
        ended = typed(scene, lines)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert (scene.top / "poststage-emulator").is_dir()
    finally:
        root = f"--root={scene.top}/poststage-emulator"
        scene.run(scene.bin / "poststage", "emulator", "stop", root, PATH="/usr/bin:/bin")
