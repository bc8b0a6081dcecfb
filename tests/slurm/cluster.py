"""A real Slurm of one node, started by the kit beside the checkout, with our hook in it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.slurm.installed import ROOT

KIT = ROOT.parent / "shared" / "slurm"
USER, UID, GID = "nobody", 65534, 65534
DEADLINE_S = 60.0
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"})
_CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

Value = TypeVar("Value")


def until(
    look: Callable[[], Value], holds: Callable[[Value], object], what: str, limit_s: float = 0.0
) -> Value:
    """What `look` finds as soon as it `holds`; when the time is over, fails with that."""
    end = time.monotonic() + (limit_s or DEADLINE_S)
    while not holds(seen := look()):
        assert time.monotonic() < end, f"{what}: {seen}"
        time.sleep(0.05)  # between two looks; the event itself ends the waiting
    return seen


def missing() -> str:
    """Why there can be no cluster here, in words; "" if there can."""
    if os.geteuid() != 0:
        return "the test cluster is started by root"
    if not (KIT / "slurm-up.sh").exists():
        return f"no {KIT.parent.name}/slurm beside the checkout"
    for program in ("slurmctld", "slurmd", "sbatch", "munged", "setpriv"):
        if shutil.which(program, path=_CLEAN["PATH"]) is None:
            return f"{program} is not installed"
    return ""


class Cluster:
    """The cluster, everything of it below `top`; `home` belongs to the user."""

    def __init__(self, top: Path, bin_dir: Path, slurm_user: str = "root") -> None:
        self.slurm_user = slurm_user
        self.top, self.bin, self.home = top, bin_dir, top / "home"
        self.slurm = top / "slurm"
        self.spool = top / "spool"
        self.env = _CLEAN | {"SLURM_CONF": str(self.slurm / "etc" / "slurm.conf")}
        self.port = _free_ports()

    # ---- daemons ---------------------------------------------------------------------------

    def up(self) -> None:
        """Start what does not run. The kit writes a hook of its own; ours takes its place."""
        env = self.env | {
            "SLURM_UP_CPUS": "8",
            "SLURM_UP_USER": self.slurm_user,
            "SLURM_UP_CONF": f"EpilogSlurmctld={self.top}/epilog",
            "SLURM_UP_BB": "Directive=BB_LUA\nStageOutTimeout=120\nOtherTimeout=60",
        }
        self._kit("slurm-up.sh", self.slurm, self.port, env=env)

    def down(self) -> None:
        """Stop everything."""
        self._kit("slurm-down.sh", self.slurm, env=self.env)

    def use_hook(self, text: str) -> None:
        """Make `text` the cluster's burst_buffer.lua; Slurm reads it at each call."""
        path = self.slurm / "etc" / "burst_buffer.lua"
        path.with_suffix(".mine").write_text(text)
        path.with_suffix(".mine").rename(path)

    @contextmanager
    def stage_out_timeout(self, seconds: int) -> Iterator[None]:
        """StageOutTimeout of `seconds` while the block runs."""
        path = self.slurm / "etc" / "burst_buffer.conf"
        before = path.read_text()
        path.write_text(re.sub(r"StageOutTimeout=\d+", f"StageOutTimeout={seconds}", before))
        self.command("scontrol", "reconfigure")
        try:
            yield
        finally:
            path.write_text(before)
            self.command("scontrol", "reconfigure")

    def stop_slurmctld(self, number: int) -> None:
        """End slurmctld (and with SIGKILL its script daemon too) as a crash would."""
        pid = int((self.slurm / "run" / "slurmctld.pid").read_text())
        scripts = _children(pid, "slurmscriptd")
        os.kill(pid, number)
        if number == signal.SIGKILL:
            for child in scripts:
                os.kill(child, number)
        until(lambda: _comm(pid), lambda comm: comm != "slurmctld", "slurmctld does not end")

    def until_saved(self) -> None:
        """Wait until slurmctld has saved how the jobs stand now; a crash forgets what is later."""
        now = time.time_ns()
        state = self.slurm / "spool" / "ctld" / "job_state"
        until(lambda: state.stat().st_mtime_ns, lambda saved: saved > now, "jobs are not saved")

    def start_slurmctld(self) -> None:
        """Start slurmctld again, with the environment that the kit gives it."""
        conf = self.env["SLURM_CONF"]
        env = self.env | {"HOME": "/"}
        done = subprocess.run(
            ["slurmctld", "-f", conf],
            env=env,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        until(lambda: self.try_command("squeue").returncode, lambda code: code == 0, "slurmctld")

    # ---- commands --------------------------------------------------------------------------

    def try_command(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root on the cluster."""
        return subprocess.run(
            [str(word) for word in words],
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    def command(self, *words: object, **env: str) -> str:
        """What it prints; it has to succeed."""
        done = self.try_command(*words, **env)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def as_user(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command as the user, with poststage and its settings at hand."""
        become = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--"]
        env = {"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin"}
        return self.try_command(*become, *words, POSTSTAGE_SITE=self.site, **env)

    @property
    def site(self) -> str:
        """The site's settings file."""
        return str(self.top / "site.toml")

    # ---- jobs ------------------------------------------------------------------------------

    def submit(
        self,
        *lines: str,
        options: tuple[str, ...] = (),
        directive: str = "",
        burst_buffer: bool = True,
    ) -> "Job":
        """Submit a job of the user; `lines` is its script's body."""
        header = f"#!/bin/bash\n#SBATCH -o {self.home}/out.%j\n"
        if burst_buffer:
            header += f"#BB_LUA {directive or f'statedir={self.home}/state/%j'}\n"
        env = f"export HOME={self.home} PATH={self.bin}:/usr/bin:/bin"
        script = "\n".join([header + env, *lines]) + "\n"
        path = Path(tempfile.mkstemp(dir=self.top, suffix=".sh")[1])
        path.write_text(script)
        who = (f"--uid={UID}", f"--gid={GID}")
        done = self.try_command(
            "sbatch", "--parsable", *who, *options, path, POSTSTAGE_SITE=self.site
        )
        assert done.returncode == 0, done.stderr
        return Job(self, done.stdout.strip())

    def _kit(self, program: str, *words: object, env: dict[str, str]) -> None:
        done = subprocess.run(
            [KIT / program, *map(str, words)], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class Job:
    """One job of the user."""

    def __init__(self, cluster: Cluster, number: str) -> None:
        self.cluster, self.id = cluster, number
        self.state_dir = cluster.home / "state" / number

    def told(self) -> tuple[str, str]:
        """State and reason; empty when the cluster knows it no more."""
        done = self.cluster.try_command("squeue", "-ht", "all", "-j", self.id, "-o", "%T\t%r")
        state, _, reason = done.stdout.rstrip("\n").partition("\t")
        return state, reason

    def until(self, *states: str, limit_s: float = 0.0) -> str:
        """Wait until it is in one of `states`; the reason that Slurm gives then."""
        told = until(self.told, lambda told: told[0] in states, f"job {self.id}", limit_s)
        return told[1]

    def until_reason(self, part: str) -> str:
        """Wait until `part` is in the reason that Slurm gives; the whole of it."""
        return until(self.told, lambda told: part in told[1], f"job {self.id}: {part}")[1]

    def until_over(self) -> None:
        """Wait until stage-out and teardown are through, well."""
        kept = self.cluster.spool / f"{self.id}.job"
        until(
            lambda: (*self.told(), kept.exists()),
            lambda seen: seen[0] in ENDED and not seen[2],
            f"job {self.id} {self.log()} {self.output()}",
        )

    def output(self) -> str:
        """What its script printed."""
        path = self.cluster.home / f"out.{self.id}"
        return path.read_text(errors="replace") if path.exists() else ""

    def log(self) -> str:
        """What the hook's finalizer said on stderr."""
        path = self.cluster.spool / "log" / self.id
        return path.read_text(errors="replace") if path.exists() else ""

    def finalizers(self) -> list[int]:
        """Pids of the finalizers that run for it; another cluster may have a job of its number."""
        lines = ((pid, _cmdline(pid)) for pid in _pids())
        words = (f"--job\0{self.id}\0", f"--site\0{self.cluster.site}\0")
        return [pid for pid, line in lines if all(word in line for word in words)]

    def finalize(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Finalize by hand, as an admin."""
        program = self.cluster.bin / "finalize"
        options = ["--site", self.cluster.site, "--dir", self.state_dir, *words]
        return self.cluster.try_command(program, *options)

    def drop_earlier_runs(self) -> int:
        """Give up what was put aside when it went back to the queue; how many runs that were."""
        found = sorted(self.state_dir.glob(".requeued-*"))
        for aside in found:
            assert self.cluster.as_user("poststage", "cancel", "--dir", aside).returncode == 0
            assert self.cluster.as_user("finalize", "--dir", aside).returncode == 3
        return len(found)

    def give_up(self) -> None:
        """End it and let go of what it staged out."""
        self.cluster.try_command("scancel", "--hurry", self.id)
        self.until_over()


def _free_ports() -> int:
    """A base port such that it and the next are free now; the kit uses sixty from there on."""
    for base in range(21000 + os.getpid() % 300 * 100, 60000, 100):
        with socket.socket() as one, socket.socket() as other:
            if not any(
                link.connect_ex(("127.0.0.1", p)) == 0
                for link, p in ((one, base), (other, base + 1))
            ):
                return base
    raise AssertionError("no free ports")


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def _comm(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").strip()


def _cmdline(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline")


def _children(pid: int, comm: str) -> list[int]:
    parents = {child: _read(f"/proc/{child}/stat").rpartition(")")[2].split() for child in _pids()}
    return [
        child
        for child, words in parents.items()
        if len(words) > 1 and words[1] == str(pid) and _comm(child) == comm
    ]


def facts(path: Path) -> dict[str, Any]:
    """What must be exact of a published file."""
    info = path.lstat()
    return {
        "owner": (info.st_uid, info.st_gid),
        "mode": info.st_mode & 0o7777,
        "mtime_ns": info.st_mtime_ns,
        "content": path.read_bytes(),
    }
