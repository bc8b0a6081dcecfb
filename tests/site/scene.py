"""Hooks as a site installs them: filled in, beside commands that this Python runs."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from poststage.site import hooks
from tests.cli.run import argv

DEADLINE_S = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    """Look until it holds; there is a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)  # between two looks; the event itself ends the waiting


class Scene:
    """A site below `top`: commands, hooks, settings, one job's files."""

    def __init__(self, top: Path, toml: str) -> None:
        self.top, self.bin = top, top / "bin"
        self.state, self.bb, self.out = top / "state", top / "bb", top / "out"
        for path in (self.bin, self.bb, self.out, top / "registered"):
            path.mkdir()
        (top / "registered").chmod(0o1777)
        self.site = top / "site.toml"
        self.site.write_text(toml.format(top=top))
        for program in ("poststage", "finalize"):
            words = argv(program=program)
            body = f'PATH={self.bin}:$PATH exec {words[0]} -c "{words[2]}" "$@"'
            self.command(program, body)

    def command(self, name: str, body: str) -> None:
        """A command of the site's."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def hook(self, name: str, **values: str) -> Path:
        """The hook `KIND/FILE` of this site, executable."""
        path = self.top / name.replace("/", "-")
        mine = {"bin": str(self.bin), "site": str(self.site)}
        path.write_text(hooks.hook(name, mine | values))
        path.chmod(0o755)
        return path

    def run(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run with nothing but `env` in the environment."""
        return subprocess.run(
            [str(word) for word in words],
            env={"POSTSTAGE_SITE": str(self.site)} | env,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    def hand_over(self, name: str = "data", **env: str) -> None:
        """What a job does: write a file, hand it over."""
        (self.bb / name).write_bytes(os.urandom(200_000))
        done = self.run(
            self.bin / "poststage",
            "out",
            "--dataset",
            "step.0",
            self.bb / name,
            self.out,
            POSTSTAGE_STATE_DIR=str(self.state),
            **env,
        )
        assert done.returncode == 0, done.stderr

    def published(self, name: str = "data") -> bool:
        """Whether the file stands at its destination, whole."""
        path = self.out / name
        return path.exists() and path.stat().st_size == 200_000
