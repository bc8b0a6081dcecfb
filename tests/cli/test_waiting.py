"""Whoever waits at a terminal sees for what; nobody else is told anything meanwhile."""

import fcntl
import signal
import subprocess

from poststage.agent.poll import until
from tests.agent.conftest import state_of
from tests.cli.run import argv, environment, on_terminal, run
from tests.mpi.conftest import DEADLINE_S, Site, own_site

__all__ = ["own_site"]


def slow(site: Site) -> None:
    """A transfer that outlasts every test."""
    (site.bb / "large").write_bytes(bytes(20_000_000))
    site.emulate("fault", "--limit", "0.1")
    site.run("poststage", "out", "--dataset", "set", "bb/large", "pfs/large")


def test_on_a_terminal_a_line_tells_what_still_runs(own_site: Site) -> None:
    slow(own_site)
    code, text = on_terminal(
        "finalize", "--dir", own_site.state_dir, "--deadline", "3", **own_site.env
    )
    assert code == 75
    assert "1 transfer still running; waiting until" in text


def test_off_a_terminal_there_is_no_such_line(own_site: Site) -> None:
    slow(own_site)
    ended = run("finalize", "--dir", own_site.state_dir, "--deadline", "2", **own_site.env)
    assert ended.code == 75
    assert "waiting until" not in ended.out + ended.err


def test_on_a_terminal_a_line_tells_that_another_finalizer_works(own_site: Site) -> None:
    slow(own_site)
    with open(own_site.state_dir / ".finalize.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ("finalize", "--dir", own_site.state_dir, "--deadline", "3")
        code, text = on_terminal(*words, **own_site.env)
    assert code == 75
    assert "another finalizer holds this state directory" in text


def test_a_run_that_waits_for_nothing_shows_no_line(own_site: Site) -> None:
    (own_site.bb / "small").write_text("x")
    own_site.run("poststage", "out", "--wait", "--dataset", "set", "bb/small", "pfs/small")
    code, text = on_terminal("finalize", "--dir", own_site.state_dir, **own_site.env)
    assert code == 0
    assert "waiting until" not in text


def test_an_interrupted_finalize_reports_and_says_how_the_files_stand(own_site: Site) -> None:
    slow(own_site)
    words = argv("finalize", "--dir", own_site.state_dir, "--deadline", "600", "--json")
    env = environment(own_site.env)
    with subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        lock = own_site.state_dir / ".finalize.lock"
        until(lock.exists, bool, DEADLINE_S)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 75
    assert b'"running": 1' in out
    assert b"Traceback" not in error
    assert state_of(own_site.state_dir / "set/0.state").started


def test_who_inherits_blocked_signals_is_ended_by_them_all_the_same(own_site: Site) -> None:
    slow(own_site)
    finalize = argv("finalize", "--dir", own_site.state_dir, "--deadline", "600")
    words = ["env", "--block-signal", *finalize]  # as a scheduler's hooks are started
    env, pipe = environment(own_site.env), subprocess.PIPE
    with subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe) as process:
        lock = own_site.state_dir / ".finalize.lock"
        until(lock.exists, bool, DEADLINE_S)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 75
