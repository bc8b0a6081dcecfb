"""STATEDIRs of any size without a job: states, temp files, and a backend that has moved all.

The backend `bench` is a real entry point of `poststage.backends`, in a directory that the
bench puts on the path: what is measured is the finalizer, not a vendor.
"""

import os
import shutil
from pathlib import Path

from poststage import names
from poststage.backends.base import Answer, Backend, Capabilities, Context
from poststage.model import Entry, Head, Kind, Meta, TransferState
from poststage.statefile import StateWriter

MTIME_NS = 1_600_000_000_123_456_789
MODE = 0o640


class Moved:
    """A probe for which every transfer has ended well."""

    capabilities = Capabilities(
        handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
    )

    def answers(self, handles: list[str]) -> dict[str, Answer]:
        return dict.fromkeys(handles, Answer(TransferState.FULLSUCCESS))

    def find(self, tags: list[str]) -> dict[str, str]:
        return {}

    def cancel(self, handle: str) -> Answer:
        return Answer(TransferState.CANCELED)

    def resume(self, handle: str) -> Answer:
        return Answer(TransferState.FULLSUCCESS)

    def close(self) -> None:
        pass


def _no_mover(context: Context) -> None:
    raise NotImplementedError("the bench hands nothing over")


BACKEND = Backend("bench", _no_mover, lambda context: Moved())  # type: ignore[arg-type, return-value] # as narrow as the bench needs


def install(into: Path) -> dict[str, str]:
    """Make `bench` a backend that is found and allowed; the environment that says so."""
    info = into / "poststage_bench-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poststage-bench\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[poststage.backends]\nbench = bench.trees:BACKEND\n")
    (into / "site.toml").write_text('[site]\nbackend = "bench"\nallowed_backends = ["bench"]\n')
    here = Path(__file__).resolve().parent.parent
    return {"POSTSTAGE_SITE": str(into / "site.toml"), "PYTHONPATH": f"{into}:{here}"}


def make(top: Path, states: int, files: int, *, size: int = 4096) -> None:
    """TOP/state/ts.0/R.state for R < states, each with `files` temp files in TOP/dst/R, synced."""
    shutil.rmtree(top, ignore_errors=True)
    state_dir = top / "state" / "ts.0"
    state_dir.mkdir(parents=True)
    fd = os.open(state_dir, os.O_RDONLY)
    for state in range(states):
        directory = top / "dst" / str(state)
        directory.mkdir(parents=True)
        _one(fd, os.fsencode(directory), state, states, files, b"x" * size)
    os.close(fd)
    os.sync()


def _one(fd: int, directory: bytes, state: int, states: int, files: int, content: bytes) -> None:
    identity = f"{state:016x}"
    writer = StateWriter.create(
        fd, b"%d.state" % state, Head(identity, "ts.0", state, states, "bench", 0)
    )
    meta = Meta(len(content), os.geteuid(), os.getegid(), MODE, 1, MTIME_NS + state)
    for index in range(files):
        name = b"f%d" % index
        temp = names.temp_name(name, identity, index)
        with open(directory + b"/" + temp, "wb") as file:
            file.write(content)
        source = b"/burst-buffer/%d/%s" % (state, name)
        writer.add(Entry(Kind.FILE, source, directory + b"/" + name, temp, meta))
    writer.recorded()
    writer.handle(identity)
    writer.started()
    writer.flush()
    writer.close()


def check(top: Path, states: int, files: int) -> None:
    """Raise AssertionError unless every file stands with its metadata and every state is done."""
    for state in range(states):
        assert (top / "state" / "ts.0" / f"{state}.done").exists(), state
        for index in range(files):
            info = (top / "dst" / str(state) / f"f{index}").lstat()
            assert (info.st_mode & 0o7777, info.st_mtime_ns) == (MODE, MTIME_NS + state)
