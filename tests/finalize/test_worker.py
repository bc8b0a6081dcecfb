"""The forked worker and the parent that bounds it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from poststage.agent.poll import until
from poststage.errors import ExitCode, PermissionRefusedError, PoststageError, RunAgainError
from poststage.finalize.options import Options
from poststage.finalize.privs import Owner
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir
from poststage.finalize.work import deadline
from poststage.finalize.worker import finalize_as, stops_noted
from tests.finalize import house as h
from tests.finalize.house import House, Vendor
from tests.finalize.kernel import Kernel
from tests.finalize.users import OTHER, PLAIN, root_only

DEADLINE_S = 30.0


def arrived(house: House, vendor: Vendor, **changes: Any) -> None:
    house.moved(house.entry(**changes))
    house.write(house.entry(**changes), handle=vendor.says(0))


def test_what_the_worker_found_is_what_the_parent_tells(house: House, vendor: Vendor) -> None:
    arrived(house, vendor)
    report = finalize_as(None, house.state, vendor.options())
    assert report.exit_code is ExitCode.OK
    assert report.datasets[0].files == {"published": 1}
    assert h.is_published(house.entry())


def test_it_is_another_process(house: House, vendor: Vendor) -> None:
    here = os.getpid()

    def whom() -> Owner | None:
        assert os.getpid() != here
        return None

    arrived(house, vendor)
    assert finalize_as(whom, house.state, vendor.options()).exit_code is ExitCode.OK


def test_what_the_worker_refuses_is_raised_here_with_its_hint(house: House, vendor: Vendor) -> None:
    def refuses() -> NoReturn:
        raise PermissionRefusedError("no", hint="ask somebody")

    with pytest.raises(PoststageError, match="no") as caught:
        finalize_as(refuses, house.state, vendor.options())
    assert (caught.value.exit_code, caught.value.hint) == (ExitCode.PERMISSION, "ask somebody")


def kills() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def stops() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("harm", [kills, stops])
def test_a_worker_that_does_not_answer_costs_no_more_than_the_deadline(
    house: House, vendor: Vendor, harm: Callable[[], None]
) -> None:
    pid_file = house.dst / "pid"

    def harmed() -> None:
        pid_file.write_text(str(os.getpid()))
        harm()

    with pytest.raises(RunAgainError, match="killed or did not end in time"):
        finalize_as(harmed, house.state, vendor.options(deadline_s=0.1), grace_s=0.1)
    assert not Path("/proc", pid_file.read_text()).exists()


def test_a_defect_in_the_worker_is_no_success(
    house: House, vendor: Vendor, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(RunAgainError):
        finalize_as(fails, house.state, vendor.options())
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_handed_on_and_ends_the_run_cleanly(
    house: House, vendor: Vendor, number: signal.Signals
) -> None:
    """Also where whoever started it had blocked it."""
    house.write(house.entry(), handle=vendor.says(0, "INPROGRESS"))

    def whom() -> Owner | None:
        os.kill(os.getppid(), number)
        return None

    def runs() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        report = finalize_as(whom, house.state, vendor.options(deadline_s=60.0))
        assert report.exit_code is ExitCode.RUN_AGAIN
        assert report.seconds < 20

    assert Kernel().run(runs)


def test_who_runs_several_learns_of_a_signal_that_came_during_one(
    house: House, vendor: Vendor
) -> None:
    house.write(house.entry(), handle=vendor.says(0, "INPROGRESS"))

    def whom() -> Owner | None:
        os.kill(os.getppid(), signal.SIGTERM)
        return None

    def runs() -> None:
        with stops_noted() as stopped:
            assert not stopped()
            finalize_as(whom, house.state, vendor.options(deadline_s=60.0))
            assert stopped()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    assert Kernel().run(runs)


def test_the_handlers_of_the_caller_are_back_afterwards(house: House, vendor: Vendor) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    arrived(house, vendor)
    finalize_as(None, house.state, vendor.options())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_worker_that_has_lost_its_parent_is_told_so_ever_after(
    house: House, vendor: Vendor
) -> None:
    """One that asks twice, for itself and for what it calls, would go on after a single answer."""
    told = house.dst / "told"

    def asks(state_dir: Path, options: Options, stop: Callable[[], bool]) -> NoReturn:
        del state_dir, options
        os.kill(os.getppid(), signal.SIGKILL)
        left = deadline(DEADLINE_S)
        while not stop() and left() > 0:
            pass
        (house.dst / "new").write_text(str([stop() for _ in range(10)]))
        (house.dst / "new").rename(told)
        os._exit(0)

    pid = os.fork()
    if pid == 0:
        finalize_as(None, house.state, vendor.options(), finalize=asks)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert until(told.exists, bool, DEADLINE_S)
    assert told.read_text() == str([True] * 10)


def test_a_worker_that_has_lost_its_parent_ends_without_a_word(
    house: House, vendor: Vendor, capfd: pytest.CaptureFixture[str]
) -> None:
    def ends(state_dir: Path, options: Options, stop: Callable[[], bool]) -> Report:
        os.kill(os.getppid(), signal.SIGKILL)
        assert until(stop, bool, DEADLINE_S)
        return finalize_dir(state_dir, options, stop)

    lives, held = os.pipe()  # as long as the worker does
    pid = os.fork()
    if pid == 0:
        finalize_as(None, house.state, vendor.options(), finalize=ends)
        os._exit(1)
    os.close(held)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert os.read(lives, 1) == b""
    os.close(lives)
    assert capfd.readouterr().err == ""


def given_to(top: Path, uid: int) -> None:
    for directory, subdirs, files in os.walk(top):
        for name in [".", *subdirs, *files]:
            os.chown(os.path.join(directory, name), uid, uid, follow_symlinks=False)


@pytest.fixture
def users(common: Path, vendor: Vendor) -> House:
    """A job of a plain user; everybody may reach the directories above it."""
    (common / "job").mkdir()
    del vendor
    return House(common / "job")


AS_PLAIN = Owner(PLAIN, PLAIN, str(PLAIN))


@root_only
def test_it_is_the_owner_who_publishes(users: House, vendor: Vendor) -> None:
    arrived(users, vendor, uid=PLAIN, gid=PLAIN)
    given_to(users.dst.parent, PLAIN)
    report = finalize_as(AS_PLAIN, users.state, vendor.options())
    assert report.exit_code is ExitCode.OK
    assert {path.stat().st_uid for path in users.state.rglob("*")} == {PLAIN}


ROOT = Path(__file__).parents[2]
LOCKED_OUT = """
import sys
from pathlib import Path
from poststage import config
from poststage.finalize import run
from poststage.finalize.options import options_of
from poststage.finalize.privs import Owner
from poststage.finalize.worker import finalize_as

def without_files(state_dir, options, stop):
    sys.meta_path.clear()  # nothing is found that was not imported before
    return run.finalize_dir(state_dir, options, stop)

uid, jobs, ranks, call_s = map(int, sys.argv[3:])
run.Run.call_s = lambda self, pending: call_s
chosen = options_of(config.load(Path(sys.argv[2])), deadline_s=20.0, jobs=jobs, ranks=ranks)
owner = Owner(uid, uid, str(uid))
sys.exit(finalize_as(owner, Path(sys.argv[1]), chosen, finalize=without_files).exit_code)
"""


@root_only
@pytest.mark.parametrize(("jobs", "ranks", "call_s"), [(1, 1, 0), (2, 1, 0), (2, 1, 1), (1, 2, 0)])
def test_an_owner_who_cannot_read_the_interpreter_publishes_all_the_same(
    users: House, vendor: Vendor, jobs: int, ranks: int, call_s: int
) -> None:
    for part in range(2):
        entry = users.entry(f"f{part}", uid=PLAIN, gid=PLAIN)
        users.moved(entry)
        users.write(entry, part=part, parts=2, handle=vendor.says(part))
    given_to(users.dst.parent, PLAIN)
    words = [users.state, vendor.site, PLAIN, jobs, ranks, call_s]
    path = os.pathsep.join(map(str, (vendor.site.parent / "site-packages", ROOT)))
    ran = subprocess.run(
        [sys.executable, "-c", LOCKED_OUT, *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


@root_only
@pytest.mark.parametrize("uid", [0, OTHER])
def test_a_record_that_names_another_owner_gains_nothing(
    users: House, vendor: Vendor, uid: int
) -> None:
    arrived(users, vendor, uid=uid, gid=PLAIN, mode=0o4755)
    given_to(users.dst.parent, PLAIN)
    report = finalize_as(AS_PLAIN, users.state, vendor.options())
    assert report.exit_code is ExitCode.PERMISSION
    (temp,) = users.dst.iterdir()
    assert temp.stat().st_uid == PLAIN
    assert temp.name.endswith(".poststage")


@root_only
def test_a_group_that_the_owner_is_not_in_is_not_given(users: House, vendor: Vendor) -> None:
    arrived(users, vendor, uid=PLAIN, gid=0, mode=0o2755)
    given_to(users.dst.parent, PLAIN)
    assert finalize_as(AS_PLAIN, users.state, vendor.options()).exit_code is ExitCode.PERMISSION
    assert {path.stat().st_gid for path in users.dst.iterdir()} == {PLAIN}


@root_only
def test_what_the_owner_may_not_read_is_not_read(users: House, vendor: Vendor) -> None:
    """A symlink to root's own state file, whose bytes must appear nowhere."""
    secret = users.write(users.entry(), dataset="secret", handle=vendor.says(0))
    secret.rename(users.dst.parent / "secret")
    (users.state / "d" / "0.state").symlink_to(users.dst.parent / "secret")
    given_to(users.state, PLAIN)
    report = finalize_as(AS_PLAIN, users.state, vendor.options())
    assert report.exit_code is ExitCode.DATA
    assert "dst" not in str(report.datasets)


@root_only
def test_in_a_directory_of_roots_alone_owners_are_restored(users: House, vendor: Vendor) -> None:
    (users.dst / "theirs").mkdir()
    entry = users.entry("theirs/f", uid=PLAIN, gid=OTHER, mode=0o6755)
    users.moved(entry)
    users.write(entry, handle=vendor.says(0))
    trusted = Owner(0, 0, "root", trusted=True)
    report = finalize_as(trusted, users.state, vendor.options())
    assert report.exit_code is ExitCode.OK
    assert h.is_published(entry)
