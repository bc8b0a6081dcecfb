"""The whole story with real parts, told step by step: `make demo`.

A job of four MPI ranks writes its output into a burst buffer, hands it over and dies. The
burst buffer's own daemon goes on copying. Then `finalize` makes the files whole. Everything
stays in one directory afterwards, to be looked at.

usage: demo.py [DIRECTORY]      (default: demo-run; an earlier demo's is replaced)
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARKER = ".poststage-demo"
RANKS = 4
PATIENCE_S = 5.0
BROKEN = "*/timestep.1/data.2"


def main() -> int:
    words = sys.argv[1:]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        sys.exit(__doc__)
    top = fresh(Path(words[0] if words else "demo-run"))
    story = Story(top)
    try:
        return story.tell()
    finally:
        story.run("poststage emulator stop --root emulator", quiet=True)


class Story:
    """Runs commands in `top` and shows them as a user would type them."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.env = os.environ | {
            "POSTSTAGE_SITE": str(top / "site.toml"),
            "POSTSTAGE_STATE_DIR": str(top / "state"),
            "POSTSTAGE_JOB_ID": "4711",
        }

    def tell(self) -> int:
        self.burst_buffer()
        self.job()
        self.job_is_gone()
        first = self.finalize("finalize waits for what still runs, then gives files their names")
        before = snapshot(self.top)
        again = self.finalize("A second run finds nothing left to do")
        same = snapshot(self.top) == before
        say(f"   The second run changed {'nothing at all' if same else 'SOMETHING'}.")
        self.fault_is_cleared()
        self.look_around()
        return 0 if (first, again, same) == (3, 3, True) else 1

    def burst_buffer(self) -> None:
        head("A burst buffer: the emulator, a daemon of its own, slow, one fault waiting")
        self.run("poststage emulator start --root emulator --burst-buffer burst-buffer")
        self.run(
            f"poststage emulator fault --root emulator --limit 24 --fail '{BROKEN}' --after 100000"
        )

    def job(self) -> None:
        head("The job: four ranks write and hand over three time steps; rank 3 is killed")
        mpirun = f"mpirun -n {RANKS}"
        self.run(f"{mpirun} python {HERE / 'app.py'} burst-buffer lustre --kill-rank 3")
        say("   The job script goes on, with the logs, by command:")
        self.run(f"{mpirun} poststage out --dataset logs burst-buffer/logs lustre/logs")

    def job_is_gone(self) -> None:
        head("The allocation ends: only the emulator can still reach the burst buffer")
        self.run("poststage emulator detach --root emulator")
        self.run("ls burst-buffer")
        self.run("poststage status")

    def finalize(self, words: str) -> int:
        head(words)
        return self.run("finalize --dir state")

    def fault_is_cleared(self) -> None:
        head("The fault is cleared, but the source of the failed file went with the job")
        self.run("poststage emulator fault --root emulator --clear")
        self.run("finalize --dir state")

    def look_around(self) -> None:
        head("Look around; everything is still there")
        say(f"   cd {shlex.quote(os.path.relpath(self.top))}")
        say("   export POSTSTAGE_SITE=$PWD/site.toml POSTSTAGE_STATE_DIR=$PWD/state")
        say("   poststage status                            how each dataset stands")
        say("   poststage show state/timestep.1/2.state     what is known of one rank")
        say("   cat state/timestep.1.report.json            the durable record of a dataset")
        say("   find lustre -printf '%M %s %t %p\\n'         the tree, as the job wrote it")
        say("   poststage forget --failed                   when you have seen enough")

    def run(self, command: str, *, quiet: bool = False) -> int:
        if not quiet:
            say(f"\n$ {command.replace(str(HERE) + '/', '')}", flush=True)
        words, out = shlex.split(command), subprocess.DEVNULL if quiet else sys.stdout
        # A group of its own: Ctrl-C is for this program, which ends the command.
        asked: list[int] = []  # one that comes before there is anything to end waits
        before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
        child = subprocess.Popen(
            words, cwd=self.top, env=self.env, stdout=out, stderr=out, process_group=0
        )
        try:
            signal.signal(signal.SIGINT, before)
            if asked:
                raise KeyboardInterrupt
            code = child.wait()
        except KeyboardInterrupt:
            end(child)
            raise
        if code and not quiet:
            say(f"[exit status {told(code)}]")
        return code


def end(child: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started, if need be by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE_S)


def fresh(top: Path) -> Path:
    """A new directory with a site's settings in it; only an earlier demo's is removed."""
    top = top.absolute()
    if (top / MARKER).exists():
        subprocess.run(
            ["poststage", "emulator", "stop", "--root", str(top / "emulator")],
            check=False,
            capture_output=True,
        )
        shutil.rmtree(top)
    if top.exists():
        sys.exit(f"error: {top}: is not an earlier demo; it was left alone")
    for name in ("burst-buffer", "lustre", "state"):
        (top / name).mkdir(parents=True)
    (top / MARKER).touch()
    root = str(top / "emulator").replace("\\", "\\\\").replace('"', '\\"')
    (top / "site.toml").write_text(
        f'[site]\nname = "demo"\nbackend = "emulator"\n\n[backend.emulator]\nroot = "{root}"\n'
    )
    return top


def snapshot(top: Path) -> list[tuple[str, os.stat_result]]:
    """Every name below the state directory and the destination, with all that lstat tells
    but the atime."""
    found = []
    for base in ("state", "lustre"):
        for path in sorted((top / base).rglob("*")):
            info = path.lstat()
            found.append((str(path), os.stat_result((*info[:7], 0, *info[8:10]))))
    return found


def told(code: int) -> str:
    return str(code) if code >= 0 else signal.Signals(-code).name


def head(text: str) -> None:
    say(f"\n== {text}")


def say(text: str, *, flush: bool = False) -> None:
    print(text, flush=flush)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        say("\ninterrupted; `make demo` begins again")
        raise SystemExit(130) from None
