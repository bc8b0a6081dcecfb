"""Many written files made durable at once: each has its own outcome, and no error is lost."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from poststage.copier import settling
from poststage.copier.engine import CopyError, Order, Written, write_file
from poststage.copier.settling import Copied, settle
from poststage.durable import fsops
from tests.copier.test_engine import Witness

FILES = 10


class Yard:
    """Files that are written, in two directories of one file system."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.targets = [folder / "one", folder / "two"]
        self.stack = stack
        for path in self.targets:
            path.mkdir()
        self.source = folder / "source"
        self.source.write_bytes(b"content" * 100)

    def opened(self, path: Path) -> int:
        """`path` for reading, closed at the end."""
        fd = os.open(path, os.O_RDONLY)
        self.stack.callback(os.close, fd)
        return fd

    def written(self, index: int) -> Written:
        """The source under another name, not durable."""
        info = self.source.stat()
        fds = self.opened(self.source), self.opened(self.targets[index % 2])
        order = Order(*fds, b".%d" % index, info.st_size, info.st_mtime_ns)
        found = write_file(order, Witness())
        self.stack.callback(found.close)
        return found


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as stack:
        yield Yard(tmp_path, stack)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(call, descriptor) of each sync, in order."""
    found: list[tuple[str, int]] = []

    def noted(name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            found.append((name, fd))
            call(fd)

        return sync

    monkeypatch.setattr(fsops, "sync", noted("fsync", fsops.sync))
    monkeypatch.setattr(fsops, "sync_filesystem", noted("syncfs", fsops.sync_filesystem))
    return found


def refused(number: int) -> Callable[[int], None]:
    """A sync that fails."""

    def sync(fd: int) -> None:
        del fd
        raise OSError(number, os.strerror(number))

    return sync


def test_many_files_of_a_file_system_are_synced_by_one_call(
    yard: Yard, synced: list[tuple[str, int]]
) -> None:
    batch = [yard.written(index) for index in range(FILES)]
    found = settle(batch[::-1])
    assert all(isinstance(one, Copied) for one in found)
    # An error since the descriptor was opened is told: none of the files was begun before.
    assert synced == [("syncfs", batch[0].order.dir_fd)]


def test_a_few_are_synced_by_themselves_and_each_directory_once(
    yard: Yard, synced: list[tuple[str, int]]
) -> None:
    batch = [yard.written(index) for index in (0, 1, 2)]
    settle(batch)
    directories = [batch[0].order.dir_fd, batch[1].order.dir_fd]
    assert synced == [("fsync", fd) for fd in [*(one.temp_fd for one in batch), *directories]]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EIO])
def test_where_that_fails_each_is_synced_and_only_what_fails_has_failed(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    batch = [yard.written(index) for index in range(FILES)]
    seen: list[int] = []

    def sync(fd: int) -> None:
        seen.append(fd)
        if fd == batch[3].temp_fd:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fsops, "sync_filesystem", refused(number))
    monkeypatch.setattr(fsops, "sync", sync)
    found = settle(batch)
    assert [index for index, one in enumerate(found) if isinstance(one, CopyError)] == [3]
    assert sorted(seen) == sorted(
        [*(one.temp_fd for one in batch), batch[0].order.dir_fd, batch[1].order.dir_fd]
    )


def test_what_lies_in_a_directory_that_cannot_be_synced_has_failed(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [yard.written(index) for index in range(FILES)]

    def sync(fd: int) -> None:
        if fd == batch[1].order.dir_fd:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fsops, "sync_filesystem", refused(errno.EIO))
    monkeypatch.setattr(fsops, "sync", sync)
    failed = [isinstance(one, CopyError) for one in settle(batch)]
    assert failed == [index % 2 == 1 for index in range(FILES)]


def test_a_temp_file_that_was_replaced_meanwhile_is_not_copied(yard: Yard) -> None:
    batch = [yard.written(index) for index in range(FILES)]
    (yard.targets[0] / ".4").unlink()
    (yard.targets[1] / ".5").unlink()
    (yard.targets[1] / ".5").write_bytes(b"another's")
    found = settle(batch)
    failed = {index: str(one) for index, one in enumerate(found) if isinstance(one, CopyError)}
    assert failed == dict.fromkeys(
        (4, 5), "the temp file was removed or replaced while it was written"
    )


def test_of_nothing_nothing_becomes() -> None:
    assert settling.settle([]) == []
