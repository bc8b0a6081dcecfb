"""Reading a state file: strict and total, against a JSON parser that checks nothing."""

import json
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import trees
from bench.context import Bench
from bench.measure import Row, paired, timed
from bench.trees import Shape
from poststage.simulate import tree
from poststage.statefile import read_state

FAMILY = "reader"


def rows(bench: Bench) -> Iterator[Row]:
    """One large state file; its temp files are of no interest."""
    entries = bench.sizes.reader_entries
    top = (bench.memory or bench.disk).path / "reader"
    top.mkdir()
    trees.lay(top, Shape(1, entries, size=0))
    path = trees.state_dir(top) / tree.DATASET / "0.state"
    ours, plain = paired(
        bench.sizes.runs,
        lambda: timed(partial(_ours, path, entries)),
        lambda: timed(partial(_plain, path, entries)),
    )
    note = f"{path.stat().st_size / 2**20:.1f} MiB"
    name = f"read a state file of {entries:,} files"
    yield Row(FAMILY, name, ours, peer=plain, peer_is="json.loads, crc32", note=note)


def _ours(path: Path, entries: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    state = read_state(fd, bytes(path))
    os.close(fd)
    assert state is not None
    assert sum(1 for entry in state.entries if entry.temp) == entries


def _plain(path: Path, entries: int) -> None:
    found = 0
    for line in path.read_bytes().splitlines():
        assert int(line[:8], 16) == zlib.crc32(line[9:])
        found += json.loads(line[9:])["record"] == "entry"
    assert found == entries
