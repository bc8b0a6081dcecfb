"""One simulated STATEDIR, finalized again and again: each run finds it as a job left it."""

import time
from collections.abc import Callable
from pathlib import Path

from bench import trees
from bench.context import Bench
from bench.measure import REPOSITORY, Ended, program
from bench.places import CACHED_S
from bench.trees import Shape


class Scene:
    """A tree of `shape` in the directory `top`, which is made for it."""

    def __init__(self, top: Path, shape: Shape, *, seen: Path | None = None) -> None:
        self.top, self.shape = top, shape
        self.seen = seen or top
        """Where those who are timed see it."""
        self.peak_mib = 0.0
        """Of the largest process of those runs that `timed` was told to watch."""

    def timed(self, action: Callable[[], Ended], *, watched: bool = False) -> float:
        """Seconds of `action` on the tree as a job left it; what it did is checked."""
        if self.top.exists():
            trees.set_back(self.top, self.shape)
            if self.seen != self.top:  # the kernel believes for so long what it saw there before
                time.sleep(CACHED_S)
        else:
            self.top.mkdir()
            trees.lay(self.top, self.shape, seen=self.seen)
        ended = action()
        trees.require_done(self.top, self.shape)
        if watched:
            self.peak_mib = max(self.peak_mib, ended.peak_mib)
        return ended.seconds

    def floor(self, bench: Bench, threads: int = 1) -> list[str]:
        """The command line of the C program over it."""
        numbers = [*self._numbers(), threads] if threads > 1 else self._numbers()
        return [str(word) for word in (bench.floor, self.seen, *numbers)]

    def bare(self) -> list[str]:
        """The command line of the Python program that does the same."""
        script = REPOSITORY / "bench/bare.py"
        return [str(w) for w in (program("python"), "-I", script, self.seen, *self._numbers())]

    def _numbers(self) -> list[int]:
        return [self.shape.ranks, self.shape.files, trees.MTIME_NS]
