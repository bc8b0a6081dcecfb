"""Which calls of different runs are one place in the program.

A refused call is a matter of the code around it, not of the files that a case has: the walk over
STATEDIR is the same in all of them. So a call is known by its name, flags and the role of what it
is about, by the same of its neighbours, and by how often that has come before in the run.
"""

import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from tests.crash.shim import Call, Injection

Site = tuple[object, ...]

_RENAME = "renameat2"
_ROLES = (
    (re.compile(rb"/\.[^/]*\.poststage\Z|/[^/]*\._AXL\Z"), b"/TEMP"),
    (re.compile(rb"/[^/]*~conflict~\Z"), b"/CONFLICT"),
    (re.compile(rb"/(state/d)/\d+\."), rb"/\1/N."),
    (re.compile(rb"/out/(sub/)?(?!sub\Z)[a-z0-9.]+\Z"), rb"/out/\1NAME"),
)


def sites(calls: Sequence[Call], root: Path) -> Iterator[Site]:
    """The place of each call."""
    one = [_sign(call, os.fsencode(root)) for call in calls]
    seen: Counter[Site] = Counter()
    for before, this, after in zip([(), *one], one, [*one[1:], ()], strict=False):
        site = (before, this, after)
        seen[site] += 1
        yield (*site, seen[site])


def _sign(call: Call, root: bytes) -> Site:
    flags = call.number if call.name == _RENAME else ()
    roles = (_role(path, root) for path in (call.path, call.other))
    return (call.name, flags, call.error, call.by_name, *roles)


def _role(path: bytes, root: bytes) -> bytes:
    path = path.removeprefix(root)
    for pattern, role in _ROLES:
        path = pattern.sub(role, path)
    return path


class Deal:
    """Deals out what is to be injected at each place of the program to the runs that come there.

    Each injection is one run's; what is injected at one place is spread over all its runs.
    """

    def __init__(self) -> None:
        self._runs: dict[Site, list[Hashable]] = defaultdict(list)

    def join(self, run: Hashable, calls: Sequence[Call], root: Path) -> None:
        """Let `run`, whose calls these are, take part."""
        for site in sites(calls, root):
            self._runs[site].append(run)

    def of(
        self, run: Hashable, calls: Sequence[Call], root: Path, points: Iterable[Injection]
    ) -> Iterator[Injection]:
        """Those of `points`, which are in the order of the calls, that are this run's."""
        place = dict(zip((call.sequence for call in calls), sites(calls, root), strict=True))
        dealt: Counter[Site] = Counter()
        for point in points:
            site = place[point.at]
            dealt[site] += 1
            runs = self._runs[site]
            if runs[(zlib.crc32(repr(site).encode()) + 7 * dealt[site]) % len(runs)] == run:
                yield point
