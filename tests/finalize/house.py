"""What a job leaves for the finalizer, laid out by hand: temp files, destinations, state files."""

import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import xxhash
from msgspec import Struct
from msgspec.structs import replace

from poststage import config, names
from poststage.backends.base import Answer, FileAnswer
from poststage.durable import fsops
from poststage.finalize import observe
from poststage.finalize.apply import apply, finish_directories
from poststage.finalize.dirs import Dirs
from poststage.finalize.options import Options, options_of
from poststage.finalize.outcome import Outcome
from poststage.finalize.pending import Loaded, Pending, load
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Head, Identity, Kind, Meta, State, TransferState, Verdict
from poststage.statefile import StateWriter, read_state
from tests.crash import vendor as stub

ID = "00000000000000a7"
CREATED_NS = 1_700_000_000 * 10**9
ATIME_NS, MTIME_NS = 1_600_000_000_123_456_789, 1_650_000_000_987_654_321
CLOSED_NS = 1_700_000_005_000_000_001  # when the backend closed its temp files
STAMP = "20231114-221320"  # of CREATED_NS
NEW = b"the job's output\n"

DONE = Answer(TransferState.FULLSUCCESS)
FAILED = Answer(TransferState.FAILED, {0: FileAnswer(TransferState.FAILED, "disk on fire")})


class Vendor(Struct, frozen=True):
    """The stub vendor of one test."""

    site: Path
    ledger: Path

    def says(
        self, part: int, state: str = "FULLSUCCESS", files: dict[int, str] | None = None
    ) -> str:
        """What it answers for the state file of `part` from now on; its handle."""
        return stub.answer(self.ledger, id_of(part), state, files or {})

    def options(self, **choices: Any) -> Options:
        """Of a run that knows this backend."""
        return options_of(config.load(self.site), **{"deadline_s": 20.0, "jobs": 1, **choices})


def id_of(part: int) -> str:
    """The id of the transfer that `House.write` records as `part`."""
    return f"{part:012x}{ID[12:]}"


class House:
    """A destination directory and a STATEDIR below `top`."""

    def __init__(self, top: Path) -> None:
        self.dst, self.state = top / "dst", top / "state"
        self.dst.mkdir()
        (self.state / "d").mkdir(parents=True)

    def entry(self, name: str = "f", index: int = 0, **changes: Any) -> Entry:
        """A record of `NEW` at dst/`name`; `meta` fields and Entry's fields may be changed."""
        path = os.fsencode(self.dst / name)
        facts = {"size": len(NEW), "uid": os.geteuid(), "gid": os.getegid(), "mode": 0o640}
        times = {"atime_ns": ATIME_NS, "mtime_ns": MTIME_NS}
        meta = {
            **facts,
            **times,
            **{k: changes.pop(k) for k in Meta.__struct_fields__ if k in changes},
        }
        temp = names.temp_name(names.split(path)[1], ID, index)
        entry = Entry(Kind.FILE, b"/bb/" + os.fsencode(name), path, temp, Meta(**meta))
        entry = replace(entry, **changes)
        return replace(entry, temp=b"") if entry.kind is Kind.DIRECTORY else entry

    def moved(self, entry: Entry, content: bytes = NEW) -> Path:
        """The temp file of `entry` as the backend leaves it: its own mode and times."""
        return put(temp_of(entry), content, mode=0o600, mtime_ns=CLOSED_NS)

    def job(self, *entries: Entry, answer: Answer = DONE, part: int = 0, parts: int = 1) -> Job:
        """The state file of `entries`, written and read back, with the backend's `answer`."""
        self.write(*entries, part=part, parts=parts)
        return self.loaded(answer=answer, part=part)

    def loaded(self, *, answer: Answer = DONE, part: int = 0) -> Job:
        """The state file of `part`, as it stands now."""
        one = self.load(part)
        assert one.state is not None
        return Job(one, one.state, answer)

    def load(self, part: int = 0) -> Loaded:
        """The state file of `part`, as the finalizer reads it."""
        name = b"%d.state" % part
        pending = Pending(b"d", name, os.fsencode(self.state) + b"/d/" + name)
        dir_fd = fsops.open_dir(os.fsencode(self.state / "d"))
        try:
            return load(dir_fd, pending)
        finally:
            os.close(dir_fd)

    def write(
        self,
        *entries: Entry,
        part: int = 0,
        parts: int = 1,
        dataset: str = "d",
        backend: str = stub.NAME,
        handle: str | None = None,
        recorded: bool = True,
        created_ns: int = CREATED_NS,
        move: bool = False,
        ends_with_job: bool = False,
        job: str = "",
    ) -> Path:
        """A state file in DATASET/PART.state."""
        path = self.state / dataset / f"{part}.state"
        path.parent.mkdir(exist_ok=True)
        dir_fd = fsops.open_dir(os.fsencode(path.parent))
        head = Head(id_of(part), dataset, part, parts, backend, created_ns)
        head = replace(head, move=move, ends_with_job=ends_with_job, job=job)
        with closing(StateWriter.create(dir_fd, os.fsencode(path.name), head)) as writer:
            for entry in entries:
                writer.add(entry)
            if recorded:
                writer.recorded()
            if handle is not None:
                writer.handle(handle)
                writer.started()
            writer.flush()
        os.close(dir_fd)
        return path


def settle(
    *jobs: Job, hold: bool = False, last: bool = True, stopped: Callable[[], bool] = lambda: False
) -> list[Outcome]:
    """Apply all of `jobs`, directories included; the outcomes in order of the entries."""
    with closing(Dirs()) as dirs:
        work = Work(dirs, stopped, hold=hold)
        apply(list(jobs), work)
        finish_directories(jobs, work, last=last)
    return [job.outcomes[index] for job in jobs for index in sorted(job.outcomes)]


def verdicts(*jobs: Job, hold: bool = False) -> list[Verdict]:
    """`settle`, the verdicts alone."""
    return [one.verdict for one in settle(*jobs, hold=hold)]


def put(path: Path, content: bytes, *, mode: int = 0o644, mtime_ns: int = MTIME_NS - 1) -> Path:
    """A file with exactly that content, mode and mtime; never through a symlink."""
    assert not path.is_symlink(), path
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def temp_of(entry: Entry) -> Path:
    """The path of the temp file."""
    return Path(os.fsdecode(names.split(entry.destination)[0])) / os.fsdecode(entry.temp)


def path_of(entry: Entry) -> Path:
    """The path of the destination."""
    return Path(os.fsdecode(entry.destination))


def aside_of(entry: Entry, attempt: int = 0) -> Path:
    """The path of the conflict copy."""
    directory, name = names.split(entry.destination)
    stamp = observe.stamp(CREATED_NS)
    return Path(os.fsdecode(directory + b"/" + names.conflict_name(name, stamp, attempt)))


def identity(path: Path) -> Identity:
    """What stands at `path`, as an agent records it."""
    info = path.lstat()
    return Identity(info.st_ino, info.st_size, info.st_mtime_ns)


def meta_at(path: Path) -> Meta:
    """What stands at `path`, in the record's terms."""
    info = path.lstat()
    mode = stat.S_IMODE(info.st_mode)
    times = (info.st_atime_ns, info.st_mtime_ns)
    return Meta(info.st_size, info.st_uid, info.st_gid, mode, *times)


def is_published(entry: Entry, content: bytes = NEW) -> bool:
    """Whether the destination is exactly what was recorded, and the temp name is gone."""
    path = path_of(entry)
    exact = path.is_file() and meta_at(path) == entry.meta
    return exact and read(path) == content and not os.path.lexists(temp_of(entry))


def read(path: Path) -> bytes:
    """The content, also where its owner may not read, and with all times left alone."""
    info = path.lstat()
    path.chmod(0o600)
    content = path.read_bytes()
    path.chmod(stat.S_IMODE(info.st_mode))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    return content


def names_in(directory: Path) -> set[str]:
    """The names in `directory`."""
    return set(os.listdir(directory))


def checksum(content: bytes) -> str:
    """As an agent records it."""
    return f"xxh3_128:{xxhash.xxh3_128(content).hexdigest()}"


def state_at(path: Path) -> State:
    """What the state file at `path` says."""
    fd = os.open(path, os.O_RDONLY)
    try:
        state = read_state(fd, os.fsencode(path))
    finally:
        os.close(fd)
    assert state is not None
    return state


def snapshot(*tops: Path) -> dict[str, tuple[object, ...]]:
    """Everything below `tops` but atimes: kinds, modes, ids, sizes, times of all changes."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for directory, subdirs, files in os.walk(top):
            for path in [directory, *(os.path.join(directory, name) for name in subdirs + files)]:
                info = os.lstat(path)
                ids = (info.st_ino, info.st_nlink, info.st_mode, info.st_uid, info.st_gid)
                found[path] = (*ids, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return found


def open_up(top: Path) -> None:
    """Let a plain user remove `top`: what a closed directory holds, nobody else can."""
    for directory, subdirs, _ in os.walk(top):
        for name in subdirs:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
