"""What every backend keeps: one test body, for ours and for third parties'.

Subclass `BackendContract` in a test module, give it a fixture `site` that yields a `Site`,
and run pytest. What a site cannot do, it says, and the laws that need it are skipped.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from poststage.backends.base import Answer, FileAnswer, Item, Mover, Probe
from poststage.errors import BackendError
from poststage.model import TransferState
from poststage.names import temp_name

DEADLINE_S = 60.0
ODD_NAMES = (
    b"plain",
    b"with space",
    b"new\nline",
    b'tab\tquote"back\\slash',
    b"\x1b[31mescape",
    b"100%41",
    b"-rf",
    b"x" * 200,
)
NO_TEXT = b"invalid\xff\xfeutf8"
_NO_LIE_OF_A_DEAD_COPIER = frozenset(
    {TransferState.UNKNOWN, TransferState.STOPPED, TransferState.FULLSUCCESS}
)


class Site(Protocol):
    """A backend in use, with what a test needs around it."""

    mover: Mover
    probe: Probe
    source_dir: Path
    """A directory of the burst buffer, empty."""
    destination_dir: Path
    """A directory of the file system that is copied to, empty."""
    tag: str
    """The tag of a transfer that the backend has not seen: 16 lower-case hex digits that do
    not read the same from behind."""

    def pace(self, mb_s: float) -> bool:
        """Let it copy so many MB a second, 0 for all it can; False if that cannot be had."""

    def kill(self) -> bool:
        """Kill what copies (SIGKILL); False if that cannot be done here."""

    def revive(self) -> None:
        """Start again what was killed; transfers go on."""


class BackendContract:
    """The laws. `site` is the subclass's."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        """The backend under test."""
        raise NotImplementedError

    def test_asking_twice_for_a_handle_gives_the_same_one(self, site: Site) -> None:
        assert site.mover.handle(site.tag) == site.mover.handle(site.tag)

    def test_another_tag_has_another_handle(self, site: Site) -> None:
        assert site.mover.handle(site.tag) != site.mover.handle(site.tag[::-1])

    def test_a_transfer_that_was_not_started_says_so(self, site: Site) -> None:
        need(knows_unstarted(site))
        handle = site.mover.handle(site.tag)
        assert site.probe.answers([handle])[handle].state is TransferState.NOTSTARTED

    def test_a_known_tag_is_found_and_an_unknown_one_is_not(self, site: Site) -> None:
        handle = site.mover.handle(site.tag)
        site.mover.start(handle, [write(site, b"file", b"x")])
        assert site.probe.find([site.tag, site.tag[::-1]]) == {site.tag: handle}

    @pytest.mark.parametrize("handle", ["no such", "x", "../../etc/passwd", "\x1b[31m", "h" * 1024])
    def test_an_unknown_handle_is_answered_as_unknown(self, site: Site, handle: str) -> None:
        site.mover.handle(site.tag)
        assert site.probe.answers([handle])[handle].state is TransferState.UNKNOWN
        assert site.probe.cancel(handle).state is TransferState.UNKNOWN

    def test_one_unknown_handle_does_not_hide_the_others(self, site: Site) -> None:
        handle = site.mover.handle(site.tag)
        site.mover.start(handle, [write(site, b"file", b"x")])
        ended(site, handle)
        answers = site.probe.answers(["no such", handle])
        assert answers[handle].state is TransferState.FULLSUCCESS

    def test_every_file_arrives_whole_whatever_its_name(self, site: Site) -> None:
        items = [write(site, name, os.urandom(100 + len(name))) for name in ODD_NAMES]
        answer = moved(site, items)
        assert answer.state is TransferState.FULLSUCCESS, answer
        assert [copied(item) for item in items] == [original(item) for item in items]

    def test_a_name_that_is_no_text_arrives_too(self, site: Site) -> None:
        need(site.mover.capabilities.any_names)
        item = write(site, NO_TEXT, b"odd")
        assert moved(site, [item]).state is TransferState.FULLSUCCESS
        assert copied(item) == b"odd"

    def test_an_empty_file_arrives(self, site: Site) -> None:
        item = write(site, b"empty", b"")
        assert moved(site, [item]).state is TransferState.FULLSUCCESS
        assert copied(item) == b""

    def test_a_transfer_without_files_is_a_success(self, site: Site) -> None:
        need(knows_unstarted(site))
        assert moved(site, []).state is TransferState.FULLSUCCESS

    def test_entry_indexes_need_not_be_dense(self, site: Site) -> None:
        items = [write(site, b"a", b"1", index=7), write(site, b"b", b"2", index=3)]
        assert set(per_file(site, moved(site, items))) == {3, 7}

    def test_the_answer_for_each_file_fits_the_file(self, site: Site) -> None:
        good, bad = write(site, b"good", b"good"), write(site, b"bad", b"bad", index=1)
        os.unlink(bad.source)
        answer = offered(site, [good, bad])
        if answer is None:
            return  # all of it was refused
        files = per_file(site, answer)
        assert answer.state is TransferState.PARTIALSUCCESS
        assert files[0].state is TransferState.FULLSUCCESS
        assert files[0].mtime_ns in {None, os.stat(good.target).st_mtime_ns}
        assert files[1].state is TransferState.FAILED
        assert files[1].reason
        assert copied(good) == b"good"

    def test_a_source_that_changed_since_it_was_recorded_fails(self, site: Site) -> None:
        item = write(site, b"file", b"before")
        Path(os.fsdecode(item.source)).write_bytes(b"afterwards")
        answer = offered(site, [item])
        assert answer is None or answer.state is TransferState.FAILED

    def test_the_same_start_twice_is_one_transfer(self, site: Site) -> None:
        item = write(site, b"file", b"once")
        handle = site.mover.handle(site.tag)
        site.mover.start(handle, [item])
        ended(site, handle)
        inode = os.stat(item.target).st_ino
        site.mover.start(handle, [item])
        assert ended(site, handle).state is TransferState.FULLSUCCESS
        assert os.stat(item.target).st_ino == inode

    def test_a_missing_directory_is_refused_and_not_made(self, site: Site) -> None:
        item = write(site, b"file", b"x", below=b"missing")
        handle = site.mover.handle(site.tag)
        with pytest.raises(BackendError, match="missing"):
            site.mover.start(handle, [item])
        assert not state(site, handle).state.ended
        assert not (site.destination_dir / "missing").exists()

    def test_a_refused_start_can_be_repeated(self, site: Site) -> None:
        item = write(site, b"file", b"x", below=b"later")
        handle = site.mover.handle(site.tag)
        with pytest.raises(BackendError):
            site.mover.start(handle, [item])
        (site.destination_dir / "later").mkdir()
        site.mover.start(handle, [item])
        assert ended(site, handle).state is TransferState.FULLSUCCESS

    def test_a_transfer_cancelled_before_its_start_never_starts(self, site: Site) -> None:
        need(knows_unstarted(site))
        item = write(site, b"file", b"x")
        handle = site.mover.handle(site.tag)
        assert site.probe.cancel(handle).state is TransferState.CANCELED
        with pytest.raises(BackendError, match="cancel"):
            site.mover.start(handle, [item])
        assert site.probe.answers([handle])[handle].state is TransferState.CANCELED
        assert not os.path.lexists(item.target)

    def test_a_cancel_on_the_way_ends_the_writing(self, site: Site) -> None:
        need(site.pace(1))
        item = write(site, b"large", os.urandom(20_000_000))
        handle = begun(site, [item])
        answer = site.probe.cancel(handle)
        if not answer.state.ended:
            answer = ended(site, handle)
        assert answer.state is TransferState.CANCELED
        assert site.probe.cancel(handle).state is TransferState.CANCELED
        site.pace(0)
        assert site.probe.answers([handle])[handle].state is TransferState.CANCELED

    def test_a_cancel_after_the_end_takes_nothing_away(self, site: Site) -> None:
        item = write(site, b"file", b"kept")
        handle = site.mover.handle(site.tag)
        site.mover.start(handle, [item])
        ended(site, handle)
        assert site.probe.cancel(handle).state is TransferState.FULLSUCCESS
        assert copied(item) == b"kept"

    def test_a_transfer_goes_on_when_its_client_is_gone(self, site: Site) -> None:
        need(site.pace(20))
        item = write(site, b"large", os.urandom(4_000_000))
        child = os.fork()
        if child == 0:  # the client: starts, and is killed by itself
            try:
                site.mover.start(site.mover.handle(site.tag), [item])
            finally:
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        handle = site.mover.handle(site.tag)
        assert state(site, handle).state is not TransferState.NOTSTARTED
        assert ended(site, handle).state is TransferState.FULLSUCCESS
        assert copied(item) == original(item)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
    def test_a_transfer_ends_well_though_its_copier_was_killed(
        self, site: Site, share: float
    ) -> None:
        need(site.pace(20))
        items = [write(site, b"%d" % n, os.urandom(1_000_000), index=n) for n in range(4)]
        handle = site.mover.handle(site.tag)
        site.mover.start(handle, items)
        need(not share or state(site, handle).bytes_done is not None)
        until(lambda: (state(site, handle).bytes_done or 0) >= share * 4_000_000)
        need(site.kill())
        assert state(site, handle).state in _NO_LIE_OF_A_DEAD_COPIER
        site.revive()
        site.pace(0)
        assert ended(site, handle).state is TransferState.FULLSUCCESS
        assert [copied(item) for item in items] == [original(item) for item in items]

    def test_what_has_ended_is_forgotten_when_nobody_asks_any_more(self, site: Site) -> None:
        item = write(site, b"file", b"kept")
        handle = begun(site, [item])
        ended(site, handle)
        site.probe.forget([handle, "no such"])
        need(site.probe.capabilities.keeps_until_forgotten)
        site.probe.forget([handle])
        assert site.probe.find([site.tag]) == {}
        assert state(site, handle).state is TransferState.UNKNOWN
        assert copied(item) == b"kept"

    def test_what_has_not_ended_is_not_forgotten(self, site: Site) -> None:
        need(site.pace(1))
        handle = begun(site, [write(site, b"large", os.urandom(20_000_000))])
        site.probe.forget([handle])
        assert state(site, handle).state is TransferState.INPROGRESS
        assert site.probe.cancel(handle).state.ended
        assert state(site, handle).state is TransferState.CANCELED

    def test_what_was_never_started_is_not_forgotten_either(self, site: Site) -> None:
        handle = site.mover.handle(site.tag)
        before = state(site, handle).state
        site.probe.forget([handle])
        assert state(site, handle).state is before

    def test_a_handle_outlives_the_daemon(self, site: Site) -> None:
        handle = site.mover.handle(site.tag)
        need(site.kill())
        site.revive()
        assert site.mover.handle(site.tag) == handle

    def test_a_cancel_outlives_the_daemon(self, site: Site) -> None:
        need(knows_unstarted(site))
        item = write(site, b"file", b"x")
        handle = site.mover.handle(site.tag)
        site.probe.cancel(handle)
        need(site.kill())
        site.revive()
        with pytest.raises(BackendError):
            site.mover.start(handle, [item])

    def test_answers_never_raise_while_the_backend_is_away(self, site: Site) -> None:
        handle = site.mover.handle(site.tag)
        need(site.kill())
        assert not site.probe.answers([handle, "no such"])[handle].state.ended
        assert site.probe.answers([]) == {}


def write(
    site: Site, name: bytes, content: bytes, *, index: int | None = None, below: bytes = b""
) -> Item:
    """A source file and the item that moves it, to an agent's temp name `below` the destination."""
    source = os.fsencode(site.source_dir) + b"/" + name
    Path(os.fsdecode(source)).write_bytes(content)
    info = os.stat(source)
    number = len(os.listdir(site.source_dir)) - 1 if index is None else index
    temp = temp_name(name, site.tag, number)
    target = os.path.join(os.fsencode(site.destination_dir), below, temp)
    return Item(number, source, target, info.st_size, info.st_mtime_ns)


def original(item: Item) -> bytes:
    """What the source holds."""
    return Path(os.fsdecode(item.source)).read_bytes()


def copied(item: Item) -> bytes:
    """What the temp file holds."""
    return Path(os.fsdecode(item.target)).read_bytes()


def moved(site: Site, items: Sequence[Item]) -> Answer:
    """The last answer on a transfer of `items`."""
    handle = site.mover.handle(site.tag)
    site.mover.start(handle, items)
    return ended(site, handle)


def offered(site: Site, items: Sequence[Item]) -> Answer | None:
    """As `moved`; None if the start was refused, and then nothing of it has begun."""
    try:
        return moved(site, items)
    except BackendError:
        assert not [item for item in items if os.path.lexists(item.target)]
        return None


def knows_unstarted(site: Site) -> bool:
    """Whether the backend knows a transfer before its start."""
    return site.mover.capabilities.handle_before_start


def begun(site: Site, items: Sequence[Item]) -> str:
    """The handle of a transfer of `items` of which something has been copied."""
    handle = site.mover.handle(site.tag)
    site.mover.start(handle, items)
    until(lambda: os.path.exists(items[0].target) and os.stat(items[0].target).st_size > 0)
    return handle


def state(site: Site, handle: str) -> Answer:
    """The answer now."""
    return site.probe.answers([handle])[handle]


def ended(site: Site, handle: str) -> Answer:
    """The answer when the transfer has ended."""
    until(lambda: state(site, handle).state.ended)
    return state(site, handle)


def per_file(site: Site, answer: Answer) -> Mapping[int, FileAnswer]:
    """The answers for each file; skips where the backend has none."""
    need(site.probe.capabilities.per_file_answers)
    return answer.files


def need(possible: bool) -> None:  # noqa: FBT001 - reads as the sentence that it is
    """Skip the law where the site cannot be brought into its case."""
    if not possible:
        pytest.skip("this backend cannot be brought into that state here")


def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail after DEADLINE_S seconds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.005)
