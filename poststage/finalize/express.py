"""The ordinary file in a tight loop: whole, as it was closed, new at its destination.

For such a file this does what apply.py would, and plan.py decides as `is_ordinary`; no object
is made for it. What is not ordinary, or turns out not to be, is left to apply.py: without an
outcome, and with its names as they were.
"""

import os
import stat
from collections.abc import Iterable, Iterator

from msgspec import Struct

from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize import metadata
from poststage.finalize.dirs import is_roots_alone
from poststage.finalize.outcome import refused
from poststage.finalize.seen import facts_of
from poststage.finalize.syncing import not_synced, sync_alone
from poststage.finalize.work import Job, Work
from poststage.model import Kind, Meta, TransferState
from poststage.names import from_text
from poststage.statefile.entries import Entries
from poststage.statefile.records import EntryRecord

_FILE, _WHOLE = Kind.FILE, TransferState.FULLSUCCESS  # looked up once
_FILES_MAX = 8192  # of one batch, which is synced as one
_RUN_MAX = 32  # files of one directory that are prepared by one thread
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FORMAT, _BITS = 0o170000, 0o7777  # of st_mode
_SPECIAL = stat.S_ISUID | stat.S_ISGID

Row = tuple[Job, int, bytes, bytes, EntryRecord, int | None]
"""State file, entry, temp name, name, record, mtime at which the backend closed it."""


class _Place(Struct):
    """A directory of one batch, open at `fd`, and the files that go there."""

    fd: int
    device: int
    syncs: bool
    """Whether syncfs(2) reaches its disk; else each file is synced by itself."""
    rows: list[list[Row]] = []
    ready: list[Row] = []
    """Prepared: they wait for their names."""
    named: list[Row] = []


def express(jobs: Iterable[Job], work: Work) -> None:
    """Publish the ordinary files of `jobs`, durably, and mark them in their outcomes.

    Raises:
        StateFileError: a long state file changed meanwhile; what is marked is published.
    """
    batch = _Batch(work)
    try:
        for job in jobs:
            for directory, rows in _runs(job):
                batch.add(directory, rows)
        batch.publish()
    finally:
        batch.close()


def is_ordinary(
    info: os.stat_result, record: EntryRecord, closed_mtime_ns: int | None, euid: int
) -> bool:
    """Whether this temp file of a whole transfer is to be published, without a further look."""
    return (
        info.st_size == record.size
        and info.st_nlink == 1
        and (info.st_uid == euid or info.st_uid == record.uid)
        and info.st_mode & _FORMAT == stat.S_IFREG
        and (
            closed_mtime_ns is None
            or info.st_mtime_ns == closed_mtime_ns
            or info.st_mtime_ns == record.mtime_ns
        )
    )


def _runs(job: Job) -> Iterator[tuple[bytes, list[Row]]]:
    """The entries that may be ordinary, by directory and a bounded number at once.

    The files that their backend calls whole, with nothing more to be known of them.
    """
    entries, answer, ended = job.state.entries, job.answer, job.state.ended
    if not isinstance(entries, Entries) or job.state.head.move:
        return
    if answer.state is TransferState.UNKNOWN:
        return
    files, whole = answer.files, answer.state is _WHOLE
    last, rows, closed = "", list[Row](), None
    for page in entries.pages():
        for index, record in enumerate(page.records, page.first):
            if record.kind is not _FILE or record.prior or record.checksum or index in ended:
                continue
            if files:  # as `fate_of`: of what it does not name, it says nothing
                one = files.get(index)
                if one is None or one.state is not _WHOLE:
                    continue
                closed = one.mtime_ns
            elif whole:
                closed = None
            else:
                continue
            directory, _, name = record.destination.rpartition("/")
            if directory != last or len(rows) == _RUN_MAX:
                if rows:
                    yield _directory(last), rows
                last, rows = directory, []
            if page.plain:
                rows.append((job, index, record.temp.encode(), name.encode(), record, closed))
            else:
                row = (job, index, from_text(record.temp), from_text(name), record, closed)
                rows.append(row)
    if rows:
        yield _directory(last), rows


def _directory(text: str) -> bytes:
    return from_text(text) or b"/"


class _Batch:
    """Files that are prepared, then synced at once, then named; again and again."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._euid = os.geteuid()
        self._each = work.pool.map if work.pool is not None else map
        self._places: dict[bytes, _Place | None] = {}
        self._syncs: dict[int, bool] = {}
        self._files = 0

    def add(self, directory: bytes, rows: list[Row]) -> None:
        """Take up `rows`, which belong into `directory`; what was taken up may be published."""
        if directory not in self._places:
            if len(self._places) >= self._work.places_max:
                self.publish()
            self._places[directory] = self._opened(directory)
        place = self._places[directory]
        if place is not None:
            place.rows.append(rows)
            self._files += len(rows)
            if self._files >= _FILES_MAX:
                self.publish()

    def publish(self) -> None:
        """Prepare what was taken up, sync it, and give it its names."""
        places = [place for place in self._places.values() if place is not None]
        runs = [(place, rows) for place in places for rows in place.rows]
        for (place, _), ready in zip(runs, self._each(self._prepared, runs), strict=True):
            place.ready += ready
        by_device = {place.device: place for place in places if place.ready and place.syncs}
        failed = {device for device, place in by_device.items() if not _synced(place)}
        for place in places:
            if place.device in failed:
                place.ready = [row for row in place.ready if _synced_alone(row, place)]
        # All names before the first sync: one commit of a journal may hold them all.
        for place, named in zip(places, self._each(self._named, places), strict=True):
            place.named = named
        places = [place for place in places if place.named]
        for place, error in zip(places, self._each(_sync_names, places), strict=True):
            _note(place, error)
        self.close()

    def close(self) -> None:
        """Let go of the directories, and of what was not named."""
        for place in self._places.values():
            if place is not None:
                os.close(place.fd)
        self._places.clear()
        self._files = 0

    def _opened(self, directory: bytes) -> _Place | None:
        """None where apply.py has more to look at, or more to tell."""
        try:
            fd = self._work.dirs.opened(directory)
        except (OSError, PoststageError):
            return None
        info = os.fstat(fd)
        if self._work.restore_owners and not is_roots_alone(info):
            os.close(fd)
            return None
        if info.st_dev not in self._syncs:
            self._syncs[info.st_dev] = fsops.syncs_filesystem(fd)
        return _Place(fd, info.st_dev, self._syncs[info.st_dev])

    def _prepared(self, run: tuple[_Place, list[Row]]) -> list[Row]:
        place, rows = run
        stopped, euid = self._work.stopped, self._euid
        return [row for row in rows if not stopped() and _prepared(row, place, euid)]

    def _named(self, place: _Place) -> list[Row]:
        """The ready files of one directory that have got their names; not yet durable."""
        named: list[Row] = []
        publish, stopped, dir_fd = fsops.publish, self._work.stopped, place.fd
        for row in place.ready:
            if stopped():
                break
            try:
                publish(dir_fd, row[2], row[3])
            except OSError:  # the name is taken, the temp name gone: apply.py looks again
                continue
            named.append(row)
        return named


def _prepared(row: Row, place: _Place, euid: int) -> bool:
    """Restore the metadata of one temp file; False if apply.py has to see to it."""
    _, _, temp, _, record, closed = row
    try:
        fd = os.open(temp, _OPEN, dir_fd=place.fd)
    except OSError:
        return False
    try:
        info = os.fstat(fd)
        if not is_ordinary(info, record, closed, euid):
            return False
        _restore(fd, info, record)
        return place.syncs or _marked_synced(fd, row)
    except OSError:
        return False
    finally:
        os.close(fd)


def _restore(fd: int, info: os.stat_result, record: EntryRecord) -> None:
    """As `metadata.restore`, and by it where the owner changes or a bit may be refused."""
    if info.st_uid != record.uid or info.st_gid != record.gid or record.mode & _SPECIAL:
        times = (record.atime_ns, record.mtime_ns)
        meta = Meta(record.size, record.uid, record.gid, record.mode, *times)
        metadata.restore(fd, facts_of(info), meta)
        return
    if info.st_mode & _BITS != record.mode:
        fsops.set_mode(fd, record.mode)
    if info.st_mtime_ns != record.mtime_ns or info.st_atime_ns != record.atime_ns:
        fsops.set_times(fd, record.atime_ns, record.mtime_ns)


def _marked_synced(fd: int, row: Row) -> bool:
    """fsync one file; one that fails has failed for good."""
    try:
        fsops.sync(fd)
    except OSError as error:
        row[0].outcomes[row[1]] = not_synced(error)
        return False
    return True


def _synced(place: _Place) -> bool:
    try:
        fsops.sync_filesystem(place.fd)
    except OSError:
        return False
    return True


def _synced_alone(row: Row, place: _Place) -> bool:
    failed = sync_alone(place.fd, row[2])
    if failed is not None:
        row[0].outcomes[row[1]] = failed
    return failed is None


def _sync_names(place: _Place) -> OSError | None:
    """Make the names of one directory durable; what went wrong, if anything."""
    try:
        fsops.sync(place.fd)
    except OSError as error:
        return error
    return None


def _note(place: _Place, error: OSError | None) -> None:
    """The outcome of what has its name: from here on it is published."""
    if error is None:
        for job, index, _, _, record, _ in place.named:
            job.outcomes.mark(index, record.size)
        return
    for job, index, *_ in place.named:
        job.outcomes[index] = refused("fsync of its directory", error)
