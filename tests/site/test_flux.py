"""The Flux epilog with a recorded environment and a flux command of our own; not run on Flux."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.site import hooks
from tests.backends.vendors.sites import NnfSite
from tests.site.scene import Scene, until

SITE = """
[site]
state_root = "{top}/registered"
[scheduler]
name = "flux"
[backend.emulator]
root = "{top}/emulator"
"""
JOB = "f2oLkTLb"
FLUX = """
case "$4" in
jobspec) echo '{{"attributes": {{"system": {{{dw}}}}}}}' ;;
rabbit_dataout_timing) [ -e {top}/moved ] && echo 12.5 ;;
*) exit 2 ;;
esac
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A site with a burst buffer."""
    one = Scene(tmp_path, SITE)
    root = f"--root={tmp_path}/emulator"
    one.run(one.bin / "poststage", "emulator", "start", root, PATH="/usr/bin:/bin")
    yield one
    one.run(one.bin / "poststage", "emulator", "stop", root, PATH="/usr/bin:/bin")


def epilog(scene: Scene) -> None:
    """The job's end."""
    hook = scene.hook("flux-rabbit/poststage.sh", log=str(scene.top / "log"))
    env = {"FLUX_JOB_ID": JOB, "FLUX_JOB_USERID": str(os.geteuid())}
    ended = scene.run(hook, **env)
    assert ended.returncode == 0, ended.stderr


def test_a_job_without_a_rabbit_is_finalized_when_it_has_ended(scene: Scene) -> None:
    scene.command("flux", FLUX.format(dw="", top=scene.top))
    scene.hand_over(FLUX_JOB_ID=JOB, PATH="/usr/bin:/bin")
    epilog(scene)
    until(scene.published, "not published")


def test_a_job_on_a_rabbit_is_finalized_when_its_data_have_been_moved(scene: Scene) -> None:
    scene.command("flux", FLUX.format(dw='"dw": "#DW jobdw"', top=scene.top))
    scene.hand_over(FLUX_JOB_ID=JOB, PATH="/usr/bin:/bin")
    epilog(scene)
    log = scene.top / "log" / f"{JOB}.log"
    until(lambda: "waiting" in log.read_text(), "it does not wait")
    assert not scene.published()
    (scene.top / "moved").touch()
    until(scene.published, "not published")


def test_with_the_shipped_settings_a_job_on_a_rabbit_finalizes_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rabbit").mkdir()
    (tmp_path / "job").mkdir()
    rabbit = NnfSite(tmp_path / "rabbit", monkeypatch)
    shipped = hooks.toml_of("flux-rabbit").read_text().replace('"syslog"', '"none"')
    shipped = shipped.replace("/p/poststage", str(tmp_path / "job"))
    socket = rabbit.server.root / "socket"
    scene = Scene(tmp_path / "job", f'{shipped}\n[backend.nnf]\nsocket = "{socket}"\n')
    job = {"FLUX_JOB_ID": JOB, "DW_WORKFLOW_NAME": "flux-1", "PATH": "/usr/bin:/bin"}
    scene.hand_over(**job)
    ended = scene.run(scene.bin / "finalize", "--dir", scene.state, **job)
    rabbit.kill()
    assert ended.returncode == 0, ended.stderr
    assert scene.published()
    assert (scene.out / "data").stat().st_mtime_ns == (scene.bb / "data").stat().st_mtime_ns
    again = scene.run(scene.bin / "finalize", "--dir", scene.state, PATH="/usr/bin:/bin")
    assert again.returncode == 0, again.stderr
