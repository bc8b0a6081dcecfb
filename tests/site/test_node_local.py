"""Draining inside the allocation: the job script's end, with and without the warning signal."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.site.scene import Scene, until

SITE = """
[site]
backend = "local"
[backend.local]
idle_s = 1
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A site without a vendor."""
    return Scene(tmp_path, SITE)


def script(scene: Scene, *lines: str) -> "subprocess.Popen[str]":
    """A job script that has sourced the drain."""
    path = scene.top / "job.sh"
    hook = scene.hook("node-local/drain.sh")
    path.write_text("\n".join(["#!/bin/sh", f". {hook}", *lines]) + "\n")
    env = {"PATH": "/usr/bin:/bin", "POSTSTAGE_STATE_DIR": str(scene.state)}
    return subprocess.Popen(
        ["sh", path], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def hand_over(scene: Scene) -> str:
    (scene.bb / "data").write_bytes(os.urandom(200_000))
    return f"poststage out --dataset step.0 {scene.bb}/data {scene.out}"


def test_what_was_handed_over_is_published_before_the_script_ends(scene: Scene) -> None:
    job = script(scene, f"poststage_run {hand_over(scene)}", 'echo "status $?"', "poststage_drain")
    out, _ = job.communicate(timeout=60)
    assert "status 0" in out
    assert scene.published(), out


def test_the_program_s_status_is_the_script_s_to_see(scene: Scene) -> None:
    job = script(scene, "poststage_run sh -c 'exit 7'", 'echo "status $?"')
    assert "status 7" in job.communicate(timeout=60)[0]


def test_the_warning_ends_the_program_and_the_drain_follows(scene: Scene) -> None:
    program = f"sh -c 'echo $$ >{scene.top}/pid; exec tail -f /dev/null'"
    lines = (hand_over(scene), f"poststage_run {program}", "poststage_drain", "echo drained")
    job = script(scene, *lines)
    until((scene.top / "pid").exists, "the program does not start")
    until((scene.top / "pid").read_text, "the program does not start")
    job.send_signal(signal.SIGUSR1)
    out, _ = job.communicate(timeout=60)
    assert out.endswith("drained\n")
    assert scene.published(), out
