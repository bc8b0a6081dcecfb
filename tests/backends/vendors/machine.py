"""What the stub vendors share: transfers on disk, copied by threads of a server process.

A killed server that is started again goes on with what it had accepted, from the beginning of
each file, as vendors' servers do. Everything below one directory; `pace` in it slows copying.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

CHUNK = 64 << 10


def stall(root: Path) -> None:
    """While there is a file `stall` in `root`, a start is accepted and not answered."""
    while (root / "stall").exists():
        time.sleep(0.005)


class Machine:
    """Transfers by number; `files` of each are [source, target, state] with names in hex."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.transfers: dict[int, dict[str, Any]] = {}
        for path in root.glob("*.json"):
            self.transfers[int(path.stem)] = json.loads(path.read_text())
        for number, one in self.transfers.items():
            if one["state"] == "running":
                self._begin(number)

    def make(self, **facts: Any) -> int:
        """A new transfer without files; its number."""
        with self.lock:
            number = max(self.transfers, default=4096) + 1
            self.transfers[number] = {**facts, "state": "new", "files": []}
            self._save(number)
            return number

    def start(self, number: int, files: list[list[str]]) -> None:
        """Accept `files`, pairs of names in hex; copy them."""
        with self.lock:
            one = self.transfers[number]
            one["files"] = [[*pair, "new"] for pair in files]
            one["state"] = "running"
            self._save(number)
            self._begin(number)

    def cancel(self, number: int) -> None:
        """Stop it and take its unfinished targets away; what has ended stays as it is."""
        with self.lock:
            one = self.transfers[number]
            if one["state"] not in {"new", "running"}:
                return
            one["state"] = "cancelled"
            for file in one["files"]:
                if file[2] != "done":
                    file[2] = "cancelled"
                    Path(os.fsdecode(bytes.fromhex(file[1]))).unlink(missing_ok=True)
            self._save(number)

    def _begin(self, number: int) -> None:
        threading.Thread(target=self._run, args=(number,), daemon=True).start()

    def _run(self, number: int) -> None:
        one = self.transfers[number]
        for file in one["files"]:
            if file[2] == "new":
                self._one_file(number, file)
        with self.lock:
            if one["state"] == "running":
                ends = {file[2] for file in one["files"]}
                one["state"] = "partial" if len(ends) > 1 else next(iter(ends), "done")
                self._save(number)

    def _one_file(self, number: int, file: list[str]) -> None:
        source, target = (bytes.fromhex(name) for name in file[:2])
        try:
            with open(source, "rb") as read:
                mode = os.fstat(read.fileno()).st_mode & 0o7777
                flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
                with self.lock:
                    if file[2] != "new":
                        return
                    fd = os.open(target, flags, mode)  # the server's umask applies
                try:
                    copied = self._copy(number, read, fd)
                    os.fsync(fd)
                finally:
                    os.close(fd)
        except OSError:
            copied = False
        with self.lock:
            if self.transfers[number]["state"] == "running":
                file[2] = "done" if copied else "failed"
                self._save(number)

    def _copy(self, number: int, read: Any, fd: int) -> bool:
        while piece := read.read(CHUNK):
            with self.lock:
                if self.transfers[number]["state"] != "running":
                    return False
                os.write(fd, piece)
            pace = float((self.root / "pace").read_text() or 0)
            if pace:
                time.sleep(len(piece) / (pace * 1e6))  # this is what slow is
        return True

    def _save(self, number: int) -> None:
        new = self.root / f".{number}.new"
        new.write_text(json.dumps(self.transfers[number]))
        new.rename(self.root / f"{number}.json")
