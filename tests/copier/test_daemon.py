"""The daemon as a process: one a root, independent of who started it, stoppable, killable."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.copier import client, daemon
from poststage.copier import protocol as p
from poststage.copier import root as roots
from poststage.errors import ExitCode, PermissionRefusedError, PoststageError
from tests.backends.sites import end_daemon, pid_of, until

START = "from poststage.copier import daemon; print(daemon.spawn('poststage.copier', {args!r}))"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root for a daemon; whoever has it at the end is killed."""
    yield tmp_path / "root"
    end_daemon(tmp_path / "root")


def start(root: Path, *more: str) -> int:
    """Start a daemon; its pid."""
    return daemon.spawn("poststage.copier", [f"--root={root}", *more])


def ask(root: Path, request: p.AnyRequest) -> p.AnyReply:
    """One answer."""
    with client.session(root, 30) as session:
        return session.ask(request)


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_start_returns_when_the_daemon_answers(root: Path) -> None:
    pid = start(root)
    hello = ask(root, p.Hello())
    assert isinstance(hello, p.HelloReply)
    assert hello.pid == pid == pid_of(root)


def test_a_second_start_says_who_has_the_root(root: Path) -> None:
    pid = start(root)
    with pytest.raises(PoststageError, match=rf"a daemon has it, pid {pid} on .* since ") as caught:
        start(root)
    assert caught.value.exit_code is ExitCode.RUN_AGAIN
    assert pid_of(root) == pid


def test_the_lock_file_stays(root: Path) -> None:
    start(root)
    inode = (root / "lock").stat().st_ino
    end_daemon(root, signal.SIGTERM)
    start(root)
    assert (root / "lock").stat().st_ino == inode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_daemon_that_was_ended_leaves_the_root_to_the_next(
    root: Path, number: signal.Signals
) -> None:
    first = start(root)
    handle = ask(root, p.MakeHandle("tag"))
    end_daemon(root, number)
    assert start(root) != first
    assert ask(root, p.MakeHandle("tag")) == handle


def test_a_stop_request_ends_it_and_takes_the_socket_away(root: Path) -> None:
    start(root)
    assert ask(root, p.Stop()) == p.Done()
    assert roots.is_free(root, timeout_s=30)
    assert not (root / "socket").exists()


def test_it_belongs_to_no_terminal_and_no_parent(root: Path) -> None:
    pid = start(root)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, group, session = int(stat[1]), int(stat[2]), int(stat[3])
    assert parent != os.getpid()
    assert session == group != os.getsid(0)
    assert session != pid, "a session's leader could get a terminal"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_it_holds_nothing_of_who_started_it(root: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"""
import os
os.dup2(os.open({str(marker)!r}, os.O_RDWR | os.O_CREAT), 7, inheritable=True)
{START.format(args=[f"--root={root}"])}
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    pid = int(run.stdout)
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert str(marker) not in links
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2") == f"{root}/log"


def test_started_from_a_shell_it_keeps_nothing_of_the_shell_s(root: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    command = [sys.executable, "-m", "poststage.copier", f"--root={root}"]
    with marker.open("wb") as held:
        run = subprocess.run(command, capture_output=True, check=True, pass_fds=[held.fileno()])
    pid = json.loads(run.stdout)["pid"]
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert str(marker) not in links


def test_signals_that_its_starter_had_blocked_reach_it(root: Path) -> None:
    code = f"""
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
{START.format(args=[f"--root={root}"])}
"""
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert int(status_of(pid)["SigBlk"], 16) == 0
    assert end_daemon(root, signal.SIGTERM)


def test_it_survives_the_death_of_its_starter_s_whole_group(root: Path) -> None:
    code = START.format(args=[f"--root={root}"]) + "\nimport sys; sys.stdout.flush(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.killpg(starter.pid, signal.SIGKILL)
    assert isinstance(ask(root, p.Hello()), p.HelloReply)
    assert pid_of(root) == pid


def test_a_root_whose_parent_is_missing_is_refused_with_words(tmp_path: Path) -> None:
    with pytest.raises(PoststageError, match="cannot be made or opened") as caught:
        start(tmp_path / "missing" / "root")
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_root_that_others_can_change_is_refused(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(PoststageError, match="somebody else can change it") as caught:
        start(root)
    assert caught.value.exit_code is ExitCode.PERMISSION


def test_a_daemon_whose_root_was_removed_ends(root: Path) -> None:
    pid = start(root)
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    until(lambda: not Path(f"/proc/{pid}").exists() or status_of(pid)["State"].startswith("Z"))


def test_an_idle_daemon_ends_if_it_is_told_to(root: Path) -> None:
    start(root, "--idle-s=0.01")
    until(lambda: roots.is_free(root))


def test_a_daemon_that_cannot_start_says_its_reason_and_not_a_traceback(root: Path) -> None:
    with pytest.raises(PoststageError, match="unrecognized arguments: --nonsense"):
        start(root, "--nonsense")


def test_the_answer_of_a_start_is_one_line_of_json(root: Path) -> None:
    command = [sys.executable, "-m", "poststage.copier", f"--root={root}"]
    run = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(run.stdout) == {"pid": pid_of(root)}


def test_a_root_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(PermissionRefusedError, match="uid 65534"):
        roots.open_root(tmp_path / "theirs")


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PoststageError, match="cannot be made or opened"):
        roots.open_root(tmp_path / "link")
