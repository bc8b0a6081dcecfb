"""Lines for many transfers: those of which the same is to be said share one."""

from collections.abc import Iterable, Iterator
from itertools import islice

from poststage.cli.render import count

_LINES = 50
_NAMED = 3  # parts, in one line


def lines(said: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    """`said` is (dataset, part, words) of each; a dead daemon's 16,384 parts are one line."""
    alike: dict[tuple[str, str], list[int]] = {}
    for dataset, part, words in said:
        alike.setdefault((dataset, words), []).append(part)
    for (dataset, words), parts in islice(alike.items(), _LINES):
        yield f"{dataset} {_named(parts)}: {words}"
    if rest := sum(map(len, list(alike.values())[_LINES:])):
        yield f"… and {count(rest, 'part')} more; --json has all"


def _named(parts: list[int]) -> str:
    if len(parts) == 1:
        return f"part {parts[0]}"
    named = ", ".join(map(str, parts[:_NAMED]))
    more = len(parts) - _NAMED
    return f"parts {named} and {more} more" if more > 0 else f"parts {named}"
