"""A state file while its agent writes it: one owner, no half truths, gone if discarded."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from poststage.agent.recording import Recording, directories, prepare
from poststage.durable import lock
from poststage.errors import PoststageError, RunAgainError, StateFileError, UsageError
from poststage.model import Entry, Head, Kind, Meta
from tests.agent.conftest import state_of, state_path

HEAD = Head("0123456789abcdef", "set/a", 2, 4, "stub", 1)
ENTRY = Entry(Kind.FILE, b"/s", b"/d", b".t", Meta(1, 0, 0, 0o644, 0, 0))


@pytest.fixture
def path(state_dir: Path) -> Path:
    """Where the recording's file is to be."""
    return state_path(state_dir, HEAD.dataset, HEAD.part)


def is_locked(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        return not lock.try_lock(fd)
    finally:
        os.close(fd)


def test_the_file_is_at_its_place_and_says_whose_it_is(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    assert os.fsdecode(recording.path) == str(path) == f"{state_dir}/set%2Fa/2.state"
    assert state_of(path).head == HEAD
    assert not state_of(path).recorded
    recording.release()


def test_it_is_locked_until_it_is_released(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    assert is_locked(path)
    recording.add(ENTRY)
    recording.commit("handle")
    assert is_locked(path)
    recording.started(None)
    recording.release()
    assert not is_locked(path)


def test_it_holds_what_was_recorded(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    assert recording.add(ENTRY) == 0
    recording.commit("handle")
    state = state_of(path)
    assert (state.entries, state.recorded, state.handle, state.started) == (
        (ENTRY,),
        True,
        "handle",
        False,
    )
    recording.started("later")
    recording.release()
    assert (state_of(path).started, state_of(path).handle) == (True, "later")


def recorded(state_dir: Path) -> Recording:
    """A recording whose transfer could have been started."""
    recording = Recording(state_dir, HEAD)
    recording.commit("handle")
    return recording


def test_a_part_is_recorded_once(state_dir: Path, path: Path) -> None:
    recorded(state_dir).release()
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"set%2Fa/2\.state: exists already; nothing was started"):
        Recording(state_dir, HEAD)
    assert path.read_bytes() == before


@pytest.mark.parametrize("length", [0, 10, 100, None])
def test_what_a_killed_agent_left_before_all_was_recorded_is_no_hindrance(
    state_dir: Path, path: Path, length: int | None
) -> None:
    Recording(state_dir, HEAD).release()
    path.write_bytes(path.read_bytes()[:length])
    again = Recording(state_dir, HEAD)
    again.require_ours()
    again.release()


def test_what_a_living_agent_is_recording_is_not_taken_from_it(state_dir: Path) -> None:
    first = Recording(state_dir, HEAD)
    with pytest.raises(UsageError, match="exists already"):
        Recording(state_dir, HEAD)
    first.require_ours()
    first.release()


def test_a_damaged_state_file_is_not_taken_for_a_dead_agents(state_dir: Path, path: Path) -> None:
    Recording(state_dir, HEAD).release()
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(StateFileError):
        Recording(state_dir, HEAD)
    assert path.read_bytes().startswith(b"garbage")


def test_a_part_that_is_published_is_not_recorded_again(state_dir: Path, path: Path) -> None:
    recorded(state_dir).release()
    path.rename(path.with_suffix(".done"))
    with pytest.raises(UsageError, match=r"part is published already, 2\.done") as caught:
        Recording(state_dir, HEAD)
    assert "`poststage forget --dataset set/a`" in caught.value.hint
    assert [one.name for one in path.parent.iterdir()] == ["2.done"]


def test_a_symlink_planted_at_its_name_is_not_followed(state_dir: Path, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(state_dir / "elsewhere")
    with pytest.raises(UsageError, match="exists already"):
        Recording(state_dir, HEAD)
    assert not (state_dir / "elsewhere").exists()


def test_a_file_that_was_taken_away_is_noticed(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    recording.require_ours()
    path.rename(path.with_suffix(".done"))
    with pytest.raises(RunAgainError, match="was taken away meanwhile; nothing was started"):
        recording.require_ours()
    recording.release()


def test_discarding_removes_the_file(state_dir: Path, path: Path) -> None:
    Recording(state_dir, HEAD).discard()
    assert not path.exists()


def test_discarding_removes_no_file_of_another(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    path.unlink()
    path.write_text("another's")
    recording.discard()
    assert path.read_text() == "another's"


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Writes beyond the limit fail with EFBIG (Python ignores SIGXFSZ)."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_after_a_failed_write_it_knows_that_it_is_broken(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    for _ in range(100):
        recording.add(ENTRY)
    with file_size_limit(1000), pytest.raises(PoststageError, match="File too large"):
        recording.commit(None)
    assert recording.broken
    assert not state_of(path).recorded
    recording.discard()
    assert not path.exists()


def test_a_full_disk_after_the_start_is_no_error(state_dir: Path, path: Path) -> None:
    recording = Recording(state_dir, HEAD)
    recording.commit("handle")
    with file_size_limit(path.stat().st_size + 10):
        recording.started(None)
    recording.release()
    state = state_of(path)
    assert (state.recorded, state.handle, state.started, state.torn) == (
        True,
        "handle",
        False,
        True,
    )


def test_a_state_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Not a directory; nothing was started"):
        Recording(tmp_path / "file" / "state", HEAD)


def test_a_part_of_a_large_dataset_lies_with_its_neighbours(state_dir: Path) -> None:
    head = msgspec.structs.replace(HEAD, part=260, parts=5000)
    recording = Recording(state_dir, head)
    assert os.fsdecode(recording.path) == f"{state_dir}/set%2Fa/1.parts/260.state"
    recording.discard()
    (state_dir / "set%2Fa/260.done").touch()
    with pytest.raises(UsageError, match="on record already"):
        Recording(state_dir, head)


def heard(action: Callable[[], object], events: tuple[str, ...]) -> list[tuple[object, ...]]:
    """The arguments of the audit events that `action` raises."""
    seen: list[tuple[object, ...]] = []

    def hook(event: str, args: tuple[object, ...]) -> None:
        if listening and event == "poststage.fsync":
            args = (os.readlink(f"/proc/self/fd/{args[0]}"),)  # it may be closed later
        if listening and event.startswith(events):
            seen.append(tuple(args))

    listening = [True]
    sys.addaudithook(hook)
    action()
    listening.clear()
    return seen


def synced(action: Callable[[], object]) -> list[str]:
    """The files and directories that `action` syncs, by name."""
    return [os.path.basename(str(name)) for (name,) in heard(action, ("poststage.fsync",))]


def test_what_is_durable_already_is_not_synced_by_each_rank(state_dir: Path) -> None:
    prepare(state_dir, HEAD.dataset, HEAD.parts)
    settled = set(directories(state_dir, HEAD.dataset, HEAD.parts))
    recording = Recording(state_dir, HEAD, settled)
    assert synced(lambda: recording.commit(None)) == ["2.state", "set%2Fa"]
    recording.release()


def test_who_knows_nothing_syncs_all_that_the_name_hangs_on(state_dir: Path) -> None:
    settled: set[bytes] = set()
    state_dir.mkdir(exist_ok=True)
    names = ["2.state", state_dir.parent.name, state_dir.name, "set%2Fa"]
    recording = Recording(state_dir, HEAD, settled)
    assert sorted(synced(lambda: recording.commit(None))) == sorted(names)
    recording.release()
    later = Recording(state_dir, msgspec.structs.replace(HEAD, dataset="b"), settled)
    assert sorted(synced(lambda: later.commit(None))) == sorted(["2.state", state_dir.name, "b"])
    later.release()


def test_all_directories_of_a_large_dataset_are_prepared_at_once(state_dir: Path) -> None:
    prepare(state_dir, "d", 600)
    made = [os.fsdecode(path) for path in directories(state_dir, "d", 600)]
    assert made[2:] == [f"{state_dir}/d/{number}.parts" for number in range(3)]
    assert all(map(os.path.isdir, made))


def _raced(state_dir: Path, start: int, tell: int) -> None:
    """A process that records this part when `start` is closed, and says what came of it."""
    os.read(start, 1)
    try:
        recording = Recording(state_dir, HEAD)
    except PoststageError as error:
        os.write(tell, b"exists\n" if "exists already" in error.message else b"other\n")
    else:
        os.write(tell, b"mine\n")
        signal.pause()
        recording.release()


@pytest.mark.parametrize("round_", range(10))
def test_of_processes_that_record_one_part_at_once_one_has_it_and_the_others_are_told(
    tmp_path: Path, round_: int
) -> None:
    del round_
    start, go = os.pipe()
    told, tell = os.pipe()
    pids = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            try:
                _raced(tmp_path / "state", start, tell)
            finally:
                os._exit(0)
        pids.append(pid)
    os.close(go)  # all at once
    os.close(tell)
    said = b""
    try:
        while said.count(b"\n") < 6 and (piece := os.read(told, 100)):
            said += piece
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(start)
        os.close(told)
    assert sorted(said.split()) == [b"exists"] * 5 + [b"mine"]


def test_what_a_rank_records_costs_the_same_however_many_came_before(state_dir: Path) -> None:
    def rank(part: int) -> int:
        def record() -> None:
            recording = Recording(state_dir, msgspec.structs.replace(HEAD, part=part, parts=300))
            recording.add(ENTRY)
            recording.commit(None)
            recording.release()

        return len(heard(record, ("open", "os.", "poststage.")))

    counts: list[int] = []
    listed = heard(lambda: counts.extend(map(rank, range(300))), ("os.listdir", "os.scandir"))
    assert len(set(counts[1:])) == 1
    assert listed == []
