"""docs/settings.md, made from the packaged settings, the backends' defaults and their words.

python -m poststage.site.page > docs/settings.md
"""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

from poststage import backends, config
from poststage.backends.base import Backend
from poststage.site.words import SECTIONS, WORDS, Words

_HEAD = """# Settings

One TOML file a site: `--site FILE`, else `POSTSTAGE_SITE`, else `/etc/poststage/site.toml`, else
the packaged one. What it leaves out has the default below. A key that is not known is an error
that names the nearest one; `poststage site show` prints what is in force and where each value
came from, `poststage site check` tries it out. Times are in seconds, and may have a fraction.
Numbers have limits, which stand behind their defaults.

Made by `python -m poststage.site.page`; a test holds it against the settings.
"""
_TITLES = "| key | default (from, to) | meaning | why |\n|---|---|---|---|\n"
_ELSEWHERE = Words("See [backends](backends.md).", "-")


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_sections())


def defaults() -> dict[str, object]:
    """Every key and its default: the packaged settings, then the tables of our own backends."""
    found: dict[str, object] = dict(config.values_of(config.load(config.PACKAGED)))
    for ours in _backends():
        found.update({f"backend.{ours.name}.{key}": one for key, one in ours.defaults.items()})
    return found


def _backends() -> Iterator[Backend]:
    for point in sorted(entry_points(group=backends.GROUP), key=lambda point: point.name):
        if point.dist is not None and point.dist.name == "poststage":
            yield point.load()


def _sections() -> Iterator[str]:
    section = ""
    least = {
        f"backend.{ours.name}.{key}": one for ours in _backends() for key, one in ours.least.items()
    }
    for key, value in defaults().items():
        table, _, name = key.rpartition(".")
        if table != section:
            section = table
            about = SECTIONS.get(table, f"what the backend {table.rpartition('.')[2]} takes")
            yield f"\n## `[{table}]`: {about}\n\n{_TITLES}"
        words = WORDS.get(key, _ELSEWHERE)
        shown = f"`{_toml(value)}`{_limits(key, value, least.get(key, 0))}"
        yield f"| `{name}` | {shown} | {words.meaning} | {words.why} |\n"


def _limits(key: str, value: object, least: float) -> str:
    """From what to what a number of the settings may be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f" ({least:g} to {config.most(key):,.0f})"


def _toml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    sys.stdout.write(page())
