"""The owner holds locks, stops or kills the worker; a scheduler blocks signals: never a hang."""

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from poststage.statefile.layout import LOCK_NAME
from tests.attack import scenes, victim
from tests.attack.victim import ATTACKER
from tests.crash import trees, vendor
from tests.crash.finalize_scene import FinalizeScene
from tests.crash.forkserver import REPOSITORY, ForkServer, Job, Outcome, Stopped
from tests.crash.shim import NONE, Action, Injection, Kind, Questions

DEADLINE_S = 1.0
ENOUGH_S = 20.0  # the deadline, the grace after it, and a busy machine


class Held:
    """A scene of the attacker's, finalized by root."""

    def __init__(self, server: ForkServer, site: Path) -> None:
        self.server, self.site = server, site
        self.root = site.parent / "held"
        self.scene: FinalizeScene = scenes.everything(site, trusted=False)
        victim.lay(site.parent / "victims")
        self.scene.lay(self.root)
        self.state_dir = self.root / "state"

    def start(self, injection: Injection, *options: str, program: str = "finalize") -> None:
        """Begin a run."""
        self.server.shim.arm(self.root, injection)
        arguments = (str(self.state_dir), str(self.site), [*options, f"--deadline={DEADLINE_S}"])
        self.server.start(Job(f"tests.attack.programs:{program}", arguments))

    def ended(self) -> Outcome:
        """How it ended; that took no longer than it may."""
        started = time.monotonic()
        event = self.server.event()
        assert not isinstance(event, Stopped)
        assert event.status is not None
        assert time.monotonic() - started < ENOUGH_S
        return event

    def finish(self) -> None:
        """One clean run ends it as if nothing had been."""
        self.start(NONE, "--no-wait", "--deadline=20")
        assert self.ended().status == self.scene.done_status

    def processes(self) -> tuple[int, int]:
        """The run's first process, and its worker."""
        parent = _children(self.server.pid)[0]
        return parent, _children(parent)[0]

    @contextmanager
    def at_a_rename(self, *options: str, program: str = "finalize") -> Iterator[Questions]:
        """The block runs while the worker is about to publish its first file."""
        with self.server.shim.questions() as questions:
            injection = Injection(Action.ASK, 1, sticky=True, mask=Kind.CHANGE)
            self.start(injection, *options, program=program)
            while True:
                fds = [questions.fileno(), self.server.events_fd]
                assert questions.fileno() in select.select(fds, [], [], ENOUGH_S)[0]
                if questions.take().name == "renameat2":
                    break
                questions.answer()
            self.server.shim.stand_down()
            yield questions


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def as_attacker(pid: int, number: int) -> None:
    """The attacker sends a signal, with no more than his own rights."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setresuid(ATTACKER, ATTACKER, ATTACKER)
            os.kill(pid, number)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def held(server: ForkServer, site: Path) -> Iterator[Held]:
    found = Held(server, site)
    yield found
    trees.clear(found.root)


@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
@pytest.mark.parametrize("name", [os.fsdecode(LOCK_NAME), "d/0.state"])
def test_a_lock_that_the_owner_holds_is_waited_for_until_the_deadline(
    held: Held, name: str, wait: str
) -> None:
    with open(held.state_dir / name, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.chown(held.state_dir / name, ATTACKER, ATTACKER)
        held.start(NONE, wait)
        assert held.ended().status == ExitCode.RUN_AGAIN
    held.finish()


def test_a_transfer_that_never_ends_is_waited_for_until_the_deadline(held: Held) -> None:
    vendor.answer(held.site.parent / "ledger", held.scene.parts[0].id, "INPROGRESS", {})
    held.start(NONE)
    assert held.ended().status == ExitCode.RUN_AGAIN


def test_a_worker_that_its_owner_stops_is_killed_after_the_deadline(held: Held) -> None:
    with held.at_a_rename() as questions:
        _, worker = held.processes()
        as_attacker(worker, signal.SIGSTOP)
        questions.answer()
        assert held.ended().status == ExitCode.RUN_AGAIN
    assert not Path(f"/proc/{worker}").exists()
    held.finish()


def test_a_worker_that_its_owner_kills_is_to_be_run_again(held: Held) -> None:
    with held.at_a_rename() as questions:
        _, worker = held.processes()
        as_attacker(worker, signal.SIGKILL)
        outcome = held.ended()
        del questions
    assert outcome.status == ExitCode.RUN_AGAIN
    assert "was killed" in outcome.output
    held.finish()


@pytest.mark.parametrize("program", ["finalize", "finalize_with_blocked_signals"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly_at_the_next_file(
    held: Held, program: str, number: signal.Signals
) -> None:
    with held.at_a_rename(program=program) as questions:
        parent, _ = held.processes()
        os.kill(parent, number)
        _handed_on(parent)
        questions.answer()
        outcome = held.ended()
    assert outcome.status == ExitCode.RUN_AGAIN
    (dataset,) = json.loads(outcome.output)["datasets"]
    assert dataset["files"]["published"] >= 1
    assert dataset["files"]["running"] >= 1
    held.finish()


def _handed_on(pid: int) -> None:
    """Until the process has no signal pending: it has taken what was sent to it."""
    deadline = time.monotonic() + ENOUGH_S
    pending = re.compile(r"^S(?:hd|ig)Pnd:\s*0+$", re.MULTILINE)
    while len(pending.findall(Path(f"/proc/{pid}/status").read_text())) < 2:
        assert time.monotonic() < deadline
        os.sched_yield()


def test_root_opens_nothing_of_the_owners_before_it_is_the_owner_and_nothing_of_its_own_after(
    held: Held,
) -> None:
    if shutil.which("strace") is None:
        assert os.environ.get("CI") != "true", "CI needs strace"
        pytest.skip("no strace on this machine")
    log = held.site.parent / "strace"
    program = "import sys; from tests.attack.programs import finalize"
    program += "; finalize(sys.argv[1], sys.argv[2], ['--no-wait'])"
    command = ["strace", "-f", "-qq", "-y", "-e", "trace=%file,%desc,setresuid", "-o", str(log)]
    command += [sys.executable, "-c", program, str(held.state_dir), str(held.site)]
    search = os.pathsep.join([str(REPOSITORY), str(held.site.parent / "site-packages")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, check=False
    )
    assert done.returncode == held.scene.done_status, done.stderr
    below, dropped = f"{held.state_dir}/", set[str]()
    own = "|".join(map(re.escape, {sys.prefix, sys.base_prefix, str(REPOSITORY)}))
    for line in log.read_text().splitlines():
        pid, call = line.split(maxsplit=1)
        if re.match(rf"setresuid\({ATTACKER}, {ATTACKER}, {ATTACKER}\) *= 0$", call):
            dropped.add(pid)
        if pid in dropped:  # an interpreter below root's home is out of the owner's reach
            assert not re.search(rf'"({own})/', call), line
        else:
            assert below not in call, line
            is_open = call.startswith("openat") and f'"{held.state_dir}"' in call
            assert not is_open or "O_DIRECTORY" in call, line
    assert len(dropped) == 1
