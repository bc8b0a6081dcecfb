"""Transfers that still run: waiting, not waiting, being stopped, several finalizers."""

import os
import select
import signal
import subprocess
from pathlib import Path

from poststage.errors import ExitCode
from tests.edge.story import BIN, DEADLINE_S, Story, problems, until, verdicts

SLOW = b"x" * 120_000


def begun(story: Story, *words: str) -> subprocess.Popen[bytes]:
    """`finalize`, without waiting for its end; it is at work when this returns."""
    command = [str(BIN / "finalize"), "--dir", str(story.state), "--json", *words]
    process = subprocess.Popen(
        command, env=story.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until((story.state / ".finalize.lock").exists, "the lock file")
    return process


def ends(process: subprocess.Popen[bytes]) -> int:
    """Its exit status."""
    _, err = process.communicate(timeout=DEADLINE_S)
    assert b"Traceback" not in err, err
    return process.returncode


def test_what_ends_while_finalize_waits_is_published_by_it(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.2)
    quick, slow = story.source("quick", b"q"), story.source("slow", SLOW)
    story.start(quick, part=0, parts=2)
    story.start(slow, part=1, parts=2)
    report = story.report()
    assert verdicts(report) == {"published": 2}
    assert story.exact(quick)
    assert story.exact(slow)


def test_what_has_arrived_is_published_while_finalize_waits_for_the_rest(story: Story) -> None:
    quick, slow = story.source("quick", b"q"), story.source("slow", SLOW)
    story.hand_over(quick, part=0, parts=2)
    story.emulator.faults(limit_mb_s=0.001)
    story.start(slow, part=1, parts=2)
    process = begun(story)
    until(story.to(quick).exists, "the file that has arrived")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert ends(process) == ExitCode.RUN_AGAIN


def test_without_waiting_what_runs_is_left_for_the_next_run(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    report = story.report("--no-wait", code=ExitCode.RUN_AGAIN)
    assert verdicts(report) == {"running": 1}
    story.emulator.faults()
    story.finalize()


def test_of_a_running_transfer_the_files_that_have_arrived_are_published(story: Story) -> None:
    """`--publish file` is each file as it is ready."""
    quick, slow = story.source("0", b""), story.source("1", SLOW)
    story.emulator.faults(limit_mb_s=0.001)
    story.start(quick, slow)

    def arrived() -> bool:
        return verdicts(story.report("--no-wait", code=ExitCode.RUN_AGAIN)) == {
            "published": 1,
            "running": 1,
        }

    until(arrived, "the first file")
    assert story.exact(quick)
    assert not story.to(slow).exists()


def test_a_deadline_of_nothing_touches_nothing_and_says_run_again(story: Story) -> None:
    source = story.source()
    story.hand_over(source)
    report = story.report("--deadline", "0", code=ExitCode.RUN_AGAIN)
    assert verdicts(report) == {"running": 1}
    assert not story.to(source).exists()
    assert len(story.temps()) == 1


def test_the_deadline_holds_although_the_transfer_never_ends(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    report = story.report("--deadline", "0.5", code=ExitCode.RUN_AGAIN)
    assert 0.4 < report["runs"][0]["seconds"] < 5
    assert problems(report)[0]["reason"] == "its transfer is still running"


def test_the_deadline_holds_although_the_backend_never_answers(own: Story) -> None:
    own.hand_over(own.source())
    own.emulator.faults(hang=True)
    done = own.finalize("--deadline", "1", code=ExitCode.RUN_AGAIN)
    assert "no answer within 0.5 s; what it holds is unknown" in done.text
    assert len(own.temps()) == 1
    os.kill(own.emulator.pid, signal.SIGKILL)
    own.emulator.start()
    own.emulator.faults()
    own.finalize()


def test_a_silent_backend_leaves_time_for_the_report_whatever_its_own_timeout_is(
    own: Story,
) -> None:
    own.hand_over(own.source())
    own.emulator.faults(hang=True)
    patient = own.site.read_text().replace("timeout_s = 1.0", "timeout_s = 600.0")
    assert "600.0" in patient
    own.site.write_text(patient)
    report = own.report("--deadline", "3", code=ExitCode.RUN_AGAIN)
    assert verdicts(report) == {"unknown": 1}
    assert "no answer within 1 s" in report["datasets"][0]["problems"][0]["reason"]
    os.kill(own.emulator.pid, signal.SIGKILL)
    own.emulator.start()
    own.emulator.faults()
    own.finalize()


def test_a_backend_that_is_away_costs_nothing_and_is_asked_again(own: Story) -> None:
    source = own.source()
    own.hand_over(source)
    own.emulator.stop()
    report = own.report(code=ExitCode.RUN_AGAIN)
    assert verdicts(report) == {"unknown": 1}
    assert len(own.temps()) == 1
    own.emulator.start()
    own.finalize()
    assert own.exact(source)


def test_a_signal_while_waiting_ends_it_cleanly(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = begun(story)
        at_work(process)
        process.send_signal(number)
        assert ends(process) == ExitCode.RUN_AGAIN, number


def at_work(process: subprocess.Popen[bytes]) -> int:
    """Wait until its worker holds the lock, so that its handlers are set as well; its pid."""
    until(lambda: worker_of(process) != 0, "the worker")
    return worker_of(process)


def worker_of(process: subprocess.Popen[bytes]) -> int:
    """The worker that holds a lock; 0 for none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lock = Path("/proc/locks").read_text()
    return next((int(pid) for pid in children if f" {pid} " in lock), 0)


def test_a_signal_ends_the_waiting_for_the_lock(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    holder = begun(story)
    at_work(holder)
    second = begun(story)
    children = Path(f"/proc/{second.pid}/task/{second.pid}/children")
    until(lambda: children.read_text() != "", "the second worker")
    second.send_signal(signal.SIGTERM)
    assert ends(second) == ExitCode.RUN_AGAIN
    assert holder.poll() is None
    holder.send_signal(signal.SIGTERM)
    assert ends(holder) == ExitCode.RUN_AGAIN


def test_a_lock_that_somebody_holds_costs_no_more_than_the_deadline(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    holder = begun(story)
    at_work(holder)
    done = story.finalize("--deadline", "0.3", code=ExitCode.RUN_AGAIN)
    assert "another process holds" in done.text
    holder.send_signal(signal.SIGTERM)
    ends(holder)


def test_a_worker_whose_parent_is_killed_ends_by_itself(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    story.start(story.source("slow", SLOW))
    process = begun(story)
    watch = os.pidfd_open(at_work(process))  # init may take its time to wait for an orphan
    process.kill()
    process.wait()
    ended = select.select([watch], [], [], DEADLINE_S)[0]
    os.close(watch)
    process.communicate(timeout=DEADLINE_S)
    assert ended


def test_four_finalizers_at_once_come_to_one_end(story: Story) -> None:
    sources = [story.source(f"{part}/{k}") for part in range(4) for k in range(5)]
    for part in range(4):
        story.start(*sources[part * 5 : part * 5 + 5], part=part, parts=4)
    processes = [begun(story) for _ in range(4)]
    assert [ends(process) for process in processes] == [0] * 4
    assert [one for one in sources if not story.exact(one)] == []
    assert story.temps() == []
    assert {path.suffix for path in (story.state / "d").iterdir()} == {".done"}
