"""A prefix as SCR leaves it behind a job, written by an independent hand, and read back so."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.axl.lay import Pairs, file, metadata, pack, transfer, unpack, value

NEW = b"the job's output\n"
MTIME_NS = 1_650_000_000_987_654_321
ATIME_NS = 1_600_000_000_123_456_789

Nested = dict[str, Any]


def pairs(tree: Mapping[Any, Any]) -> Pairs:
    """Nested mappings as pairs; a plain value stands for its one child."""
    return [
        (
            str(key).encode() if not isinstance(key, bytes) else key,
            pairs(below) if isinstance(below, dict) else value(below),
        )
        for key, below in tree.items()
    ]


def nested(path: Path) -> Nested:
    """What an independent reader makes of a KVTree file; {} if it is not there."""
    return nested_of(unpack(path.read_bytes())) if path.exists() else {}


def nested_of(tree: Pairs) -> Nested:
    """Pairs as nested mappings."""
    return {key.decode("utf-8", "surrogateescape"): nested_of(below) for key, below in tree}


class Prefix:
    """SCR_PREFIX with its files below .scr; datasets are added one by one."""

    def __init__(self, top: Path) -> None:
        self.top, self.scr = top, top / ".scr"
        self.scr.mkdir(parents=True)
        self.flush: dict[Any, Any] = {}
        self.index: dict[Any, Any] = {}

    def add(
        self,
        number: int,
        *,
        ranks: int = 3,
        output: bool = False,
        checkpoint: bool = True,
        name: str = "",
        location: str = "FLUSHING",
        files: int = 1,
        parts: int = 1,
    ) -> None:
        """A dataset whose every file has arrived; the last rank has none."""
        name = name or f"ckpt.{number}"
        (self.top / name).mkdir()
        directory = self.directory(number)
        directory.mkdir()
        listed: dict[int, list[str]] = {}
        for rank in range(ranks):
            count = files if rank < ranks - 1 or ranks == 1 else 0
            listed[rank] = [f"{name}/rank_{rank}.{k}.ckpt" for k in range(count)]
            for path in listed[rank]:
                (self.top / path).write_bytes(NEW)
            self.state_file(number, rank, listed[rank])
        self._rank2file(directory, listed, parts)
        self._scrs(number, name, output, checkpoint, location)

    def state_file(self, number: int, rank: int, paths: list[str], **top: int) -> None:
        """The state file of a rank; SCR writes in place and does not call AXL's extension."""
        found = {
            b"/bb/" + path.encode(): file(os.fsencode(self.top / path), 3, **metadata(len(NEW)))
            for path in paths
        }
        tree = transfer(found, **{"status": 3, **top})
        self.state(number, rank).write_bytes(pack(tree))

    def state(self, number: int, rank: int) -> Path:
        return self.directory(number) / f"rank_{rank}.state_file"

    def directory(self, number: int) -> Path:
        return self.scr / f"scr.dataset.{number}"

    def _rank2file(self, directory: Path, listed: dict[int, list[str]], parts: int) -> None:
        size = -(-len(listed) // parts)
        root: dict[Any, Any] = {"LEVEL": 1, "RANK": {}, "RANKS": len(listed)}
        for first in range(0, len(listed), size):
            some = {rank: listed[rank] for rank in listed if first <= rank < first + size}
            ranks: Nested = {
                str(r): {"FILE": {p: {} for p in ps}} if ps else {} for r, ps in some.items()
            }
            tree: Nested = {"LEVEL": 0, "RANKS": len(listed), "RANK": ranks}
            (directory / f"rank2file.0.{first}").write_bytes(pack(pairs(tree)))
            root["RANK"][first] = {"FILE": f".0.{first}", "OFFSET": 0}
        (directory / "rank2file").write_bytes(pack(pairs(root)))

    def _scrs(self, number: int, name: str, output: bool, checkpoint: bool, location: str) -> None:
        descriptor = {
            "ID": number,
            "NAME": name,
            "FLAG_CKPT": int(checkpoint),
            "FLAG_OUTPUT": int(output),
            "CREATED": 1589050790160919,
            "USER": "u",
            "JOBID": 7,
            "FILES": 2,
            "SIZE": 34,
            "COMPLETE": 1,
        }
        places: Nested = {"CACHE": {}, location: {}}
        entry: dict[Any, Any] = {"NAME": name, "LOCATION": places, "DSETDESC": descriptor}
        entry.update({"CKPT": 1} if checkpoint else {})
        entry.update({"OUTPUT": 1} if output else {})
        self.flush[number] = entry
        self.index[number] = {"COMPLETE": 0, "DSET": descriptor}
        self.write()

    def write(self, **index: Any) -> None:
        """flush.scr and index.scr as they are now."""
        names = {entry["DSET"]["NAME"]: {"DSET": number} for number, entry in self.index.items()}
        self.put("flush.scr", {"DATASET": self.flush})
        self.put("index.scr", {"VERSION": 2, "NAME": names, "DSET": self.index, **index})

    def put(self, name: str, tree: dict[Any, Any]) -> None:
        """One of SCR's files."""
        (self.scr / name).write_bytes(pack(pairs(tree)))

    def indexed(self, number: int) -> Nested:
        """What index.scr says of a dataset, by an independent reader."""
        found = nested(self.scr / "index.scr").get("DSET", {}).get(str(number), {})
        assert isinstance(found, dict)
        return found

    def flushing(self) -> set[str]:
        """The ids that flush.scr lists."""
        return set(nested(self.scr / "flush.scr").get("DATASET", {}))
