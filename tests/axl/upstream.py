"""A transfer as AXL 0.9.0 carries it out, step by step: killed after any of them, it leaves this.

Its state file is emptied and then written anew, in place; files are copied buffer by buffer;
modes come before owners, which take setuid away; renames come one by one, when all is there.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.axl.lay import Pairs, file, metadata, pack, transfer

BUFFER = 4096
CREATED, DISPATCHED, COMPLETED = 1, 2, 4
SOURCE, INPROG, DEST = 1, 2, 3
CHANGED_NS = 1_600_000_000_000_000_000  # when the sources were

Step = tuple[str, Callable[[], object]]


class Upstream:
    """One transfer of some files below `top`."""

    def __init__(self, top: Path, files: dict[str, bytes], *, mode: int = 0o640) -> None:
        self.state_dir, self.pfs = top / "state", top / "pfs"
        for made in (top, self.state_dir, self.pfs):
            made.mkdir()
        self.state = self.state_dir / "job.state_file"
        self.files, self.mode = files, mode

    def temp(self, name: str) -> Path:
        return self.pfs / f"{name}._AXL"

    def steps(self) -> Iterator[Step]:
        """All of a transfer's life: create, add, dispatch, copy, wait, free."""
        yield from self._rewritten("create", [], CREATED, SOURCE)
        added: list[str] = []
        for name in self.files:
            added = [*added, name]
            yield from self._rewritten(f"add {name}", added, CREATED, SOURCE)
        yield from self._rewritten("dispatch", added, DISPATCHED, INPROG)
        for name, content in self.files.items():
            yield from self._copied(name, content)
        yield from self._rewritten("all copied", added, DISPATCHED, DEST)
        for name in self.files:
            yield from self._dressed(name)
        for name in self.files:
            yield f"rename {name}", partial(self.temp(name).rename, self.pfs / name)
        yield from self._rewritten("wait", added, COMPLETED, DEST)
        yield "free", self.state.unlink

    def _rewritten(self, why: str, names: list[str], state: int, status: int) -> Iterator[Step]:
        raw = pack(self._tree(names, state, status))
        yield f"{why}: state file emptied", lambda: self.state.write_bytes(b"")
        yield f"{why}: half of it written", lambda: self.state.write_bytes(raw[: len(raw) // 2])
        yield f"{why}: state file written", lambda: self.state.write_bytes(raw)

    def _tree(self, names: list[str], state: int, status: int) -> Pairs:
        files = {}
        for name in names:
            recorded = metadata(
                len(self.files[name]), MODE=0o100000 | self.mode, ctime_ns=CHANGED_NS
            )
            meta = recorded if state != CREATED else {}
            files[b"/bb/" + name.encode()] = file(os.fsencode(self.temp(name)), SOURCE, **meta)
        return transfer(files, state=state, status=status)

    def _copied(self, name: str, content: bytes) -> Iterator[Step]:
        for end in range(0, len(content) + BUFFER, BUFFER):
            part = content[:end]
            done = f"{len(part)} of {len(content)} bytes"
            yield f"copy {name}: {done}", partial(self.temp(name).write_bytes, part)

    def _dressed(self, name: str) -> Iterator[Step]:
        temp, meta = self.temp(name), metadata(0)
        ns = tuple(meta[f"{key}_SECS"] * 10**9 + meta[f"{key}_NSECS"] for key in ("ATIME", "MTIME"))
        yield f"chmod {name}", lambda: temp.chmod(self.mode)
        yield f"chown {name}", lambda: os.chown(temp, os.geteuid(), os.getegid())
        yield f"utime {name}", lambda: os.utime(temp, ns=(ns[0], ns[1]))
