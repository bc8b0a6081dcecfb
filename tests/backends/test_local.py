"""The `local` backend where it differs from a vendor's: stops, other hosts, resuming."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.backends import local
from poststage.backends.base import Context, Item
from poststage.backends.contract import begun, copied, ended, original, state, write
from poststage.errors import BackendError
from poststage.model import TransferState
from tests.backends.sites import LocalSite, end_daemon, pid_of, proven, until

MB = 1_000_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalSite]:
    """A STATEDIR of its own for each test, and a copier that takes its time."""
    made = LocalSite(tmp_path)
    made.pace(10)
    yield made
    end_daemon(made.root)


def stopped(site: LocalSite, number: signal.Signals = signal.SIGTERM) -> tuple[str, Item]:
    """A transfer that was ended half way."""
    item = write(site, b"large", os.urandom(5 * MB))
    handle = begun(site, [item])
    until(lambda: (state(site, handle).bytes_done or 0) >= MB)
    assert end_daemon(site.root, number)
    return handle, item


def elsewhere(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> local.LocalProbe:
    """A probe on another host with the same STATEDIR."""
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    return local.LocalProbe(site.context)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_nobody_copies_is_stopped_and_goes_on_from_what_is_proven(
    site: LocalSite, number: signal.Signals
) -> None:
    handle, item = stopped(site, number)
    answer = state(site, handle)
    assert answer.state is TransferState.STOPPED
    assert answer.files[0].state is TransferState.STOPPED
    assert "resume" in answer.reason
    assert not site.probe.resume(handle).state.ended
    assert ended(site, handle).state is TransferState.FULLSUCCESS
    assert (proven(site.root) or 0) >= MB
    assert copied(item) == original(item)


def test_resuming_twice_is_resuming_once(site: LocalSite) -> None:
    handle, item = stopped(site)
    site.probe.resume(handle)
    site.probe.resume(handle)
    assert ended(site, handle).state is TransferState.FULLSUCCESS
    assert site.probe.resume(handle).state is TransferState.FULLSUCCESS
    assert copied(item) == original(item)


def test_a_source_that_changed_is_not_resumed_and_nothing_is_lost(site: LocalSite) -> None:
    handle, item = stopped(site)
    part = copied(item)
    Path(os.fsdecode(item.source)).write_bytes(b"another job's")
    answer = site.probe.resume(handle)
    assert answer.state is TransferState.STOPPED
    assert "changed since it was recorded" in answer.reason
    assert copied(item) == part
    assert state(site, handle).state is TransferState.STOPPED


def test_a_source_that_is_gone_is_not_resumed_until_it_is_back(site: LocalSite) -> None:
    handle, item = stopped(site)
    away = item.source + b".away"
    os.rename(item.source, away)
    assert site.probe.resume(handle).state is TransferState.STOPPED
    assert "No such file" in state(site, handle).reason
    os.rename(away, item.source)
    site.probe.resume(handle)
    assert ended(site, handle).state is TransferState.FULLSUCCESS


def test_a_new_transfer_on_the_node_lets_the_stopped_ones_go_on(site: LocalSite) -> None:
    handle, _ = stopped(site)
    site.mover.handle("another")
    assert ended(site, handle).state is TransferState.FULLSUCCESS


def test_from_another_host_a_stop_is_known_if_it_was_journaled(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, _ = stopped(site, signal.SIGTERM)
    answer = elsewhere(site, monkeypatch).answers([handle])[handle]
    assert answer.state is TransferState.STOPPED
    assert os.uname().nodename in answer.reason


def test_from_another_host_a_killed_copier_may_be_running(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, _ = stopped(site, signal.SIGKILL)
    answer = elsewhere(site, monkeypatch).answers([handle])[handle]
    assert answer.state is TransferState.INPROGRESS
    assert os.uname().nodename in answer.reason


def test_from_another_host_an_end_is_an_end(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [write(site, b"good", b"good"), write(site, b"bad", b"bad", index=5)]
    os.unlink(items[1].source)
    handle = site.mover.handle(site.tag)
    site.mover.start(handle, items)
    here = ended(site, handle)
    there = elsewhere(site, monkeypatch).answers([handle])[handle]
    assert (there.state, dict(there.files)) == (here.state, dict(here.files))
    assert there.state is TransferState.PARTIALSUCCESS


def test_another_host_finds_a_handle_and_cannot_resume_it(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, item = stopped(site)
    part = copied(item)
    probe = elsewhere(site, monkeypatch)
    assert probe.find([site.tag, "other"]) == {site.tag: handle}
    answer = probe.resume(handle)
    assert answer.state is TransferState.STOPPED
    assert "only there it can be resumed" in answer.reason
    assert copied(item) == part


def test_another_host_s_mover_does_not_start_it(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = site.mover.handle(site.tag)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(BackendError, match="belongs to"):
        local.LocalMover(site.context).start(handle, [])


def test_a_cancel_from_another_host_is_final_for_what_was_stopped(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, item = stopped(site)
    with monkeypatch.context() as there:
        probe = elsewhere(site, there)
        answer = probe.cancel(handle)
        assert answer.state is TransferState.CANCELED
        assert answer.files[0].state is TransferState.CANCELED
        assert probe.answers([handle])[handle].state is TransferState.CANCELED
    assert site.probe.resume(handle).state is TransferState.CANCELED
    assert not os.path.lexists(item.target)


def test_a_cancel_from_another_host_reaches_a_copier_on_its_way(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = write(site, b"large", os.urandom(5 * MB))
    handle = begun(site, [item])
    copier = pid_of(site.root)
    assert copier is not None
    os.kill(copier, signal.SIGSTOP)  # so that it has not heard of it yet when that is answered
    try:
        with monkeypatch.context() as there:
            answer = elsewhere(site, there).cancel(handle)
        assert not answer.state.ended, "somebody still writes"
    finally:
        os.kill(copier, signal.SIGCONT)
    assert ended(site, handle).state is TransferState.CANCELED
    assert not os.path.lexists(item.target)


def test_a_cancel_where_no_copier_runs_ends_it_there_and_then(site: LocalSite) -> None:
    handle, item = stopped(site)
    assert site.probe.cancel(handle).state is TransferState.CANCELED
    assert pid_of(site.root) is None
    assert not os.path.lexists(item.target)
    assert site.probe.resume(handle).state is TransferState.CANCELED


def test_many_ranks_that_begin_at_once_start_one_copier(site: LocalSite) -> None:
    read, write_end = os.pipe()
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            handle = local.LocalMover(site.context).handle(f"rank{number}")
            os.write(write_end, handle.encode() + b"\n")
            os._exit(0)
        children.append(child)
    os.close(write_end)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    with open(read, "rb") as said:
        assert len(set(said.read().split())) == 8
    log = (site.root / "log").read_text()
    assert log.count("serves") == 1


@pytest.mark.parametrize(
    "handle",
    ["host", ":", "../../etc:0-t", "a/b:0-t", ".:0-t", "..:0-t", "host:../t", "\n:0-t", "h:0-t\n"],
)
def test_a_planted_handle_leads_nowhere(site: LocalSite, handle: str) -> None:
    answer = site.probe.answers([handle])[handle]
    assert answer.state is TransferState.UNKNOWN
    assert site.probe.cancel(handle).state is TransferState.UNKNOWN
    assert site.probe.resume(handle).state is TransferState.UNKNOWN
    assert sorted(os.listdir(site.state_dir)) == []


def test_an_unknown_host_is_unknown(site: LocalSite) -> None:
    answer = site.probe.answers(["nohost:00000000-t"])["nohost:00000000-t"]
    assert answer.state is TransferState.UNKNOWN
    assert "nohost" in answer.reason


def test_a_statedir_without_copiers_knows_no_tags(site: LocalSite) -> None:
    assert site.probe.find(["tag"]) == {}


def test_a_statedir_that_cannot_be_written_is_a_backend_error(tmp_path: Path) -> None:
    context = Context(tmp_path / "missing", dict(local.BACKEND.defaults))
    with pytest.raises(BackendError, match="nothing was started"):
        local.LocalMover(context).handle("tag")


def test_a_damaged_journal_is_unknown_and_hides_no_other(site: LocalSite) -> None:
    good, bad = site.mover.handle("good"), site.mover.handle("bad")
    end_daemon(site.root)
    path = site.root / "queue" / (bad.partition(":")[2] + ".journal")
    line = path.read_bytes()
    path.write_bytes(line.replace(b"bad", b"BAD", 1) + line)
    answers = site.probe.answers([good, bad])
    assert answers[good].state is TransferState.NOTSTARTED
    assert answers[bad].state is TransferState.UNKNOWN
    assert "line 1" in answers[bad].reason
