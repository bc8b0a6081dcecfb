"""Starting and killing stub vendors' servers; building the stub library."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.backends.sites import until

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]


@cache
def library(top: Path, name: str = "bbapi") -> Path:
    """The stub library of `name`.c, built in `top` with the machine's compiler."""
    made = top / f"lib{name}.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-D_GNU_SOURCE", "-o"]
    subprocess.run(["cc", *flags, str(made), str(HERE / f"{name}.c")], check=True)
    return made


class Server:
    """A stub vendor's server: `python -m tests.backends.vendors.NAME ROOT`."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root
        root.mkdir(exist_ok=True)
        self.pace(0)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, answers: Callable[[], bool]) -> None:
        """Start it; returns when it `answers`."""
        words = [sys.executable, "-m", f"tests.backends.vendors.{self.name}", str(self.root)]
        self.process = subprocess.Popen(words, cwd=CHECKOUT, env=dict(os.environ))
        until(answers)

    def pace(self, mb_s: float) -> bool:
        """Let it copy so many MB a second."""
        new = self.root / ".pace"
        new.write_text(str(mb_s))
        new.rename(self.root / "pace")
        return True

    def kill(self) -> bool:
        """End it as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        return True
