"""LSF's stage-out scripts in a fake of the four phases, in front of the emulator and of a stub of
IBM's library and bbcmd.

They have not run on LSF: phases, users, times and environment are IBM's manual's.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.site import hooks
from tests.backends.vendors.sites import JOB, STEP, BbapiSite
from tests.site.scene import Scene

SITE = """
[scheduler]
name = "lsf"
timeout_s = 600
[backend.emulator]
root = "{top}/emulator"
"""
# As a phase gets it; PATH is this short, and the submission environment is there too.
PHASE = {
    "PATH": "/bin:/usr/bin",
    "LSF_STAGE_JOBID": "77",
    "LSF_STAGE_JOBINDEX": "0",
    "LSF_STAGE_USER": pwd.getpwuid(os.geteuid()).pw_name,
    "LSF_STAGE_HOSTS": "n1 n2",
    "LSF_STAGE_USER_STAGE_OUT": "stage-out-1,stage-out-2",
    "LSF_STAGE_JOB_STATUS": "0",
    "LSB_JOBEXIT_STAT": "0",
}


class Lsf:
    """The four phases, each run whatever those before it have returned."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.ended: list[subprocess.CompletedProcess[str]] = []

    def stage_out(self) -> None:
        """The user's first, root waits for the transfers, the user's second, root cleans up."""
        env = PHASE | {"POSTSTAGE_STATE_DIR": str(self.scene.state)}
        self._run(self.scene.hook("lsf-bbapi/stage-out-1"), **env)
        self._run(self.scene.bin / "poststage", "wait", **env)
        self._run(self.scene.hook("lsf-bbapi/stage-out-2"), **env)
        self._emulator("stop")

    def _run(self, *words: object, **env: str) -> None:
        self.ended.append(self.scene.run(*words, **env))

    def _emulator(self, *words: str) -> None:
        root = f"--root={self.scene.top}/emulator"
        self.scene.run(self.scene.bin / "poststage", "emulator", *words, root, PATH="/usr/bin:/bin")


@pytest.fixture
def lsf(tmp_path: Path) -> Iterator[Lsf]:
    """LSF with a burst buffer that a job has handed a file to."""
    one = Lsf(Scene(tmp_path, SITE))
    one._emulator("start")
    yield one
    one._emulator("stop")


def test_the_second_script_publishes_what_root_has_waited_for(lsf: Lsf) -> None:
    lsf.scene.hand_over()
    lsf.stage_out()
    first, waited, second = lsf.ended
    assert (first.returncode, waited.returncode) == (0, 0), (first.stderr, waited.stderr)
    assert second.returncode == 0, second.stderr
    assert second.stdout == "poststage-result: 0 1 files of 1 dataset published\n"
    assert lsf.scene.published()


def test_a_failed_transfer_is_said_and_its_status_is_3(lsf: Lsf) -> None:
    lsf._emulator("fault", "--fail=data")
    lsf.scene.hand_over()
    lsf.stage_out()
    second = lsf.ended[-1]
    assert second.returncode == 3
    assert second.stdout.startswith("poststage-result: 3 step.0: 1 failed (data: injected fault")
    assert not lsf.scene.published()


def test_a_second_script_that_was_killed_is_done_by_hand_while_the_volume_is_there(
    lsf: Lsf,
) -> None:
    lsf.scene.hand_over()
    env = PHASE | {"POSTSTAGE_STATE_DIR": str(lsf.scene.state)}
    hook = lsf.scene.hook("lsf-bbapi/stage-out-2")
    killed = subprocess.Popen([hook], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed.kill()
    killed.wait()
    again = lsf.scene.run(hook, **env)
    assert again.returncode == 0, again.stderr
    assert lsf.scene.published()


@pytest.mark.parametrize("name", ["stage-out-1", "stage-out-2"])
@pytest.mark.parametrize("missing", ["LSF_STAGE_USER_STAGE_OUT", "POSTSTAGE_STATE_DIR"])
def test_outside_of_its_phase_a_script_does_nothing(lsf: Lsf, name: str, missing: str) -> None:
    env = PHASE | {"POSTSTAGE_STATE_DIR": str(lsf.scene.state)}
    del env[missing]
    ended = lsf.scene.run(lsf.scene.hook(f"lsf-bbapi/{name}"), **env)
    assert ended.returncode == 2
    assert name in ended.stderr


@pytest.fixture
def ibm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BbapiSite]:
    """IBM's burst buffer."""
    (tmp_path / "ibm").mkdir()
    made = BbapiSite(tmp_path / "ibm", tmp_path, monkeypatch)
    yield made
    made.kill()


def test_with_the_shipped_settings_ibm_s_library_hands_over_and_bbcmd_is_asked(
    tmp_path: Path, ibm: BbapiSite
) -> None:
    shipped = hooks.toml_of("lsf-bbapi").read_text().replace('"syslog"', '"none"')
    tables = "".join(f'{key} = "{path}"\n' for key, path in ibm.settings.items())
    (tmp_path / "lsf").mkdir()
    scene = Scene(tmp_path / "lsf", f"{shipped}\n[backend.bbapi]\n{tables}")
    job = {"LSB_JOBID": JOB, "PMIX_NAMESPACE": STEP, "BB_STUB_SOCKET": str(ibm.socket)}
    scene.hand_over(PATH="/usr/bin:/bin", **job)
    phase = PHASE | {"LSF_STAGE_JOBID": JOB, "POSTSTAGE_STATE_DIR": str(scene.state)}
    first = scene.run(scene.hook("lsf-bbapi/stage-out-1"), **phase)
    assert first.returncode == 0, first.stderr
    second = scene.run(scene.hook("lsf-bbapi/stage-out-2"), **phase)
    assert second.returncode == 0, second.stderr
    assert scene.published()
    assert (scene.out / "data").stat().st_mtime_ns == (scene.bb / "data").stat().st_mtime_ns
