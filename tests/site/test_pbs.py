"""The PBS hook in a Python whose `pbs` module is a recording of MoM's; not run on PBS."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.scene import Scene, until

SITE = """
[site]
state_root = "{top}/registered"
[scheduler]
name = "pbs"
[backend.emulator]
root = "{top}/emulator"
"""
JOB = "12.server"
# What MoM gives a hook of its: the event, its job, a log.
PBS = """
import os
LOG_ERROR = 1
class Job:
    id, euser = "12.server", os.environ["OWNER"]
    def in_ms_mom(self):
        return os.environ["FIRST"] == "1"
class Event:
    job = Job()
    def accept(self):
        print("accepted")
def event():
    return Event()
def logmsg(level, text):
    print(text)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A site with a burst buffer, and a job that is over."""
    one = Scene(tmp_path, SITE)
    (tmp_path / "pbs.py").write_text(PBS)
    one.command("qstat", f"""echo '{{"Jobs": {{"{JOB}": {{"job_state": "F"}}}}}}'""")
    root = f"--root={tmp_path}/emulator"
    one.run(one.bin / "poststage", "emulator", "start", root, PATH="/usr/bin:/bin")
    one.hand_over(PBS_JOBID=JOB, PATH="/usr/bin:/bin")
    yield one
    one.run(one.bin / "poststage", "emulator", "stop", root, PATH="/usr/bin:/bin")


def event(scene: Scene, *, first: bool = True, **values: str) -> str:
    """execjob_end on a node; what MoM logs."""
    hook = scene.hook("pbs/execjob_end.py", log=str(scene.top / "log"), **values)
    env = {"PYTHONPATH": str(scene.top), "OWNER": str(os.geteuid()), "FIRST": str(int(first))}
    ended = subprocess.run(
        [sys.executable, hook], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_first_node_s_event_finalizes_and_lets_the_job_go(scene: Scene) -> None:
    assert event(scene) == "accepted\n"
    until(scene.published, "not published")


def test_the_other_nodes_events_do_nothing(scene: Scene) -> None:
    assert event(scene, first=False) == "accepted\n"
    assert not (scene.top / "log").exists()


def test_what_goes_wrong_is_logged_and_lets_the_job_go(scene: Scene) -> None:
    said = event(scene, bin=str(scene.top / "none"))
    assert "No such file or directory" in said
    assert said.endswith("accepted\n")
    assert "status 2" in event(scene, site=str(scene.top / "none.toml"))
