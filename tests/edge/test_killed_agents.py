"""Agents that were killed on the way: nothing is started twice, nothing is left unexplained."""

import os
from pathlib import Path

import pytest

from poststage.agent import Transfer
from poststage.backends.base import Context
from poststage.backends.emulator import BACKEND
from poststage.errors import BackendError, ExitCode
from poststage.model import TransferState
from tests.edge.story import Story, problems, until, verdicts


def killed(story: Story, source: Path, *, before: str) -> str:
    """An agent in a process of its own, killed before the step; the transfer's id."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        with story.agent() as agent:
            transfer = agent.transfer("d")
            os.write(send, transfer.head.id.encode())
            _as_far_as(transfer, source, story.to(source), before)
            os._exit(0)
    os.close(send)
    os.waitpid(pid, 0)
    with os.fdopen(receive) as pipe:
        return pipe.read()


def _as_far_as(transfer: Transfer, source: Path, destination: Path, before: str) -> None:
    transfer.add(source, destination)
    if before == "recording":
        return
    transfer.record()


def state_file(story: Story) -> Path:
    return story.state / "d" / "0.state"


def context(story: Story) -> Context:
    settings = {"root": str(story.emulator.root), "timeout_s": 5.0}
    return Context(state_dir=story.state, settings=settings)


def test_killed_while_recording_nothing_was_started_and_the_report_says_so(story: Story) -> None:
    killed(story, story.source(), before="recording")
    done = story.finalize(code=ExitCode.NEEDS_PERSON)
    assert "stopped while recording; nothing of it was started" in done.text
    assert list(story.dst.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 1, 40])
def test_killed_while_creating_its_state_file_it_has_started_nothing(
    story: Story, keep: int
) -> None:
    killed(story, story.source(), before="recording")
    os.truncate(state_file(story), keep)
    report = story.report(code=ExitCode.NEEDS_PERSON)
    assert "nothing of it was started" in problems(report)[0]["reason"]
    story.report("--publish", "dataset", code=ExitCode.NEEDS_PERSON)


def test_killed_after_the_record_its_transfer_can_never_start_any_more(story: Story) -> None:
    """The handle exists; a start that is still on its way to the backend comes too late."""
    tag = killed(story, story.source(), before="start")
    report = story.report(code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"failed": 1}
    assert "never started" in problems(report)[0]["reason"]
    mover = BACKEND.open_mover(context(story))
    handle = mover.handle(tag)
    with pytest.raises(BackendError, match="cancelled"):
        mover.start(handle, [])
    assert BACKEND.open_probe(context(story)).answers([handle])[handle].state is (
        TransferState.CANCELED
    )


def test_a_dry_run_cancels_nothing(story: Story) -> None:
    tag = killed(story, story.source(), before="start")
    report = story.report("--dry-run", code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"failed": 1}
    handle = BACKEND.open_mover(context(story)).handle(tag)
    answer = BACKEND.open_probe(context(story)).answers([handle])[handle]
    assert answer.state is TransferState.NOTSTARTED


def test_an_agent_that_is_alive_is_waited_for(story: Story) -> None:
    source = story.source()
    with story.agent() as agent:
        transfer = agent.transfer("d")
        transfer.add(source, story.to(source))
        transfer.record()
        report = story.report("--no-wait", code=ExitCode.RUN_AGAIN)
        assert verdicts(report) == {"running": 1}
        assert "its agent is still recording it" in problems(report)[0]["reason"]
        transfer.dispatch()
    story.finalize()
    assert story.exact(source)


def test_the_tag_finds_a_transfer_whose_handle_was_never_recorded(story: Story) -> None:
    source = story.source()
    story.hand_over(source)
    lines = state_file(story).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"handle"' not in line and b'"started"' not in line]
    assert len(kept) == len(lines) - 2
    state_file(story).write_bytes(b"".join(kept))
    story.finalize()
    assert story.exact(source)


def test_a_torn_last_line_is_no_damage(story: Story) -> None:
    source = story.source()
    story.hand_over(source)
    with open(state_file(story), "ab") as file:
        file.write(b'0badcafe {"record":"eve')
    story.finalize()
    assert story.exact(source)


def test_a_cancelled_transfer_leaves_no_partial_file(story: Story) -> None:
    story.emulator.faults(limit_mb_s=0.001)
    source = story.source(content=b"x" * 100_000)
    with story.agent() as agent:
        transfer = agent.transfer("d")
        transfer.add(source, story.to(source))
        transfer.dispatch()
        until(lambda: story.temps() != [], "the temp file")
        transfer.cancel()
    report = story.report(code=ExitCode.NEEDS_PERSON)
    assert verdicts(report) == {"failed": 1}
    assert list(story.dst.iterdir()) == []
