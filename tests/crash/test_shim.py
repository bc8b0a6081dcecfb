"""The shim sees the file calls below its root, and does what it is told, and says so."""

import errno
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import standin_scene
from tests.crash.forkserver import REPOSITORY, ForkServer, Job, Outcome, Stopped
from tests.crash.shim import EVERY, Action, Injection, Kind, Shim

SCENE = standin_scene.scene()
# What the stand-in does, in its order, reads and closes left out.
DONE = ["fchown", "fchmod", "futimens", "fsync", "renameat", "fsync", "renameat", "fsync"]


@pytest.fixture(scope="module")
def server(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    directory = tmp_path_factory.mktemp("shim")
    with ForkServer(Shim(library, directory), directory, ["tests.crash.standin"]) as running:
        yield running


@pytest.fixture
def job(server: ForkServer, workshop: Path) -> Job:
    root = workshop / "root"
    SCENE.lay(root)
    server.shim.arm(root)
    return Job(SCENE.target, SCENE.arguments(root), deadline_s=10)


def arm(server: ForkServer, workshop: Path, injection: Injection) -> None:
    server.shim.arm(workshop / "root", injection, log=True)


def test_the_log_holds_the_changing_calls_in_their_order(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    arm(server, workshop, Injection())
    assert server.run(job).status == 0
    calls = server.shim.log()
    assert [c.name for c in calls if c.kind & (Kind.CHANGE | Kind.SYNC)] == DONE
    assert server.shim.changes == 5
    renamed = next(c for c in calls if c.name == "renameat")
    assert renamed.path == os.fsencode(workshop / "root/.file.temp")
    assert renamed.other == os.fsencode(workshop / "root/file")
    assert renamed.ino == renamed.ino_after == os.stat(workshop / "root/file").st_ino


def test_calls_elsewhere_are_not_counted(server: ForkServer, workshop: Path, job: Job) -> None:
    (workshop / "elsewhere").mkdir(exist_ok=True)
    server.shim.arm(workshop / "elsewhere")
    assert server.run(job).status == 0
    assert (server.shim.count, server.shim.changes) == (0, 0)


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_strikes_before_or_after_the_call(
    server: ForkServer, workshop: Path, job: Job, after: bool
) -> None:
    rename = DONE.index("renameat") + 1
    mask = Kind.CHANGE | Kind.SYNC
    arm(server, workshop, Injection(Action.KILL, rename, after=after, mask=mask))
    assert server.run(job).status == -signal.SIGKILL
    assert (server.shim.fired, server.shim.fired_call) == (1, "renameat")
    assert (workshop / "root/file").exists() is after


def test_an_injection_beyond_the_last_call_does_not_fire(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    arm(server, workshop, Injection(Action.KILL, 1000))
    assert server.run(job).status == 0
    assert server.shim.fired == 0


def test_a_refused_call_is_not_made(server: ForkServer, workshop: Path, job: Job) -> None:
    arm(server, workshop, Injection(Action.REFUSE, 1, error=errno.EDQUOT, mask=Kind.CHANGE))
    outcome = server.run(job)
    assert outcome.status == 75
    assert os.strerror(errno.EDQUOT) in outcome.output
    assert [c.error for c in server.shim.log() if c.kind & Kind.CHANGE] == [errno.EDQUOT]


def test_a_sticky_refusal_goes_on(server: ForkServer, workshop: Path, job: Job) -> None:
    at = Injection(Action.REFUSE, 3, error=errno.EIO, sticky=True)
    arm(server, workshop, at)
    assert server.run(job).status == 75
    assert server.shim.fired == server.shim.count - 2 > 1


def test_an_interrupted_call_is_refused_once_and_made_then(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    arm(server, workshop, Injection(Action.REFUSE, 1, error=errno.EINTR, sticky=True))
    assert server.run(job).status == 75
    assert server.shim.fired > 1


def test_a_stopped_process_waits_until_it_is_continued(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    rename = Injection(Action.STOP, DONE.index("renameat") + 1, mask=Kind.CHANGE | Kind.SYNC)
    arm(server, workshop, rename)
    server.start(job)
    assert isinstance(server.event(), Stopped)
    assert not (workshop / "root/file").exists()
    server.go_on()
    assert server.event() == Outcome(0, "")
    assert (workshop / "root/file").exists()


def test_a_process_that_never_goes_on_meets_the_deadline(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    arm(server, workshop, Injection(Action.DELAY, 1, delay_ns=10**12))
    late = Job(job.target, job.arguments, deadline_s=0.2)
    assert server.run(late) == Outcome(None, "")


def test_a_hook_hears_of_each_call_before_it_is_made(
    server: ForkServer, workshop: Path, job: Job
) -> None:
    arm(server, workshop, Injection(Action.ASK, EVERY, mask=Kind.CHANGE))
    heard = []
    with server.shim.questions() as questions:
        server.start(job)
        waiting = [questions.fileno(), server.events_fd]
        while server.events_fd not in select.select(waiting, [], [], 10)[0]:
            question = questions.take()
            heard.append((question.name, (workshop / "root/file").exists()))
            questions.answer()
        assert server.event() == Outcome(0, "")
    assert heard == [
        (n, n == "renameat" and i == 4)
        for i, n in enumerate(name for name in DONE if name != "fsync")
    ]


def test_a_torn_write_leaves_half_of_it(library: Path, tmp_path: Path) -> None:
    shim = Shim(library, tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    shim.arm(root, Injection(Action.KILL_TORN, 1, mask=Kind.CHANGE))
    code = "import os,sys; os.write(os.open(sys.argv[1], os.O_WRONLY), b'0123456789')"
    (root / "file").touch()
    status = _python(shim, code, str(root / "file")).returncode
    assert (status, shim.fired) == (-signal.SIGKILL, 1)
    assert (root / "file").read_bytes() == b"01234"


def test_written_bytes_and_copied_bytes_are_in_the_log(library: Path, tmp_path: Path) -> None:
    shim = Shim(library, tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    shim.arm(root, log=True)
    code = """
import os, sys
one = os.open(sys.argv[1] + '/one', os.O_RDWR | os.O_CREAT)
two = os.open(sys.argv[1] + '/two', os.O_WRONLY | os.O_CREAT)
os.pwrite(one, b'abcdef', 3)
os.write(two, b'xyz')
os.sendfile(two, one, 3, 3)
os.symlink('target', sys.argv[1] + '/link')
"""
    assert _python(shim, code, str(root)).returncode == 0
    written = [
        (c.name, Path(os.fsdecode(c.path)).name, c.number[0], c.data) for c in shim.log() if c.data
    ]
    assert written[:2] == [("write", "one", 3, b"abcdef"), ("write", "two", 0, b"xyz")]
    assert written[2] == ("write", "two", 3, b"abc")
    assert written[-1] == ("symlink", "link", 0, b"target")


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
def test_the_shim_sees_every_changing_call_that_strace_sees(library: Path, tmp_path: Path) -> None:
    shim = Shim(library, tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    shim.arm(root, log=True)
    trace = tmp_path / "trace"
    calls = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,symlink,"
    calls += "symlinkat,fchmod,fchmodat,chmod,fchown,fchownat,chown,lchown,utimensat,ftruncate,"
    calls += "truncate,fsync,fdatasync,syncfs,pwrite64,copy_file_range,sendfile,mknodat"
    program = Path(__file__).with_name("every_call.py")
    preload = [f"-E{key}={shim.environment()[key]}" for key in ("LD_PRELOAD", "SHIM_CONTROL")]
    subprocess.run(
        ["strace", "-f", "-qq", "-o", trace, *preload, f"-etrace={calls}",
         sys.executable, program, root],
        check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    traced = re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M)
    seen = [
        c.name for c in shim.log() if c.kind & (Kind.CHANGE | Kind.SYNC) and c.name not in {"open"}
    ]
    assert len(traced) > 20
    assert len(seen) == len(traced), (seen, traced)


def _python(shim: Shim, code: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code, *arguments], env=shim.environment())
