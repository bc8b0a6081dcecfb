"""Finding a backend: entry points of the group `poststage.backends`, allowed names only."""

from contextlib import suppress
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from poststage import config
from poststage.backends.base import Backend, Context
from poststage.errors import UsageError
from poststage.names import shown

GROUP = "poststage.backends"


class NotLoadedError(UsageError):
    """What a backend needs is not on this node: a package, a vendor's library."""


def load(name: str, settings: config.Settings) -> Backend:
    """The backend `name`; its module is imported only here, and only if the site allows it.

    Raises:
        UsageError: the site does not allow it, or it is not installed.
        NotLoadedError: what it needs is not installed.
    """
    if name not in settings.allowed_backends:
        raise UsageError(
            f"backend {shown(name)} is not allowed here, by [site] allowed_backends; "
            "nothing was loaded",
            hint="the site's allowed_backends: " + ", ".join(settings.allowed_backends),
        )
    return _installed(name)


def preload(settings: config.Settings) -> None:
    """Import every backend that the site allows and that can be: `load` finds them then, also
    after this process has given up the rights to read them."""
    for name in settings.allowed_backends:
        with suppress(UsageError):
            load(name, settings)


@lru_cache
def _installed(name: str) -> Backend:
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise UsageError(
            f"backend {shown(name)} is not installed",
            hint=f"install the package that provides it as an entry point of {GROUP}",
        )
    try:
        backend: Backend = found[0].load()
    except ImportError as error:
        raise NotLoadedError(
            f"backend {shown(name)}: cannot be loaded: {shown(str(error))}",
            hint=f"install what it needs (pip install 'poststage[{shown(name)}]')",
        ) from error
    return backend


def context(backend: Backend, settings: config.Settings, state_dir: Path) -> Context:
    """`backend`'s settings of this site, checked against its defaults."""
    table = settings.backends.get(backend.name, {})
    where = Path(f"[backend.{backend.name}]")
    for key, value in table.items():
        if key not in backend.defaults:
            raise config.unknown_key(where, key, backend.defaults)
        config.check_type(where, key, value, backend.defaults[key])
        if isinstance(value, int | float) and not isinstance(value, bool):
            config.check_number(where, key, value, backend.least.get(key, 0))
        if key in backend.paths and value and not value.startswith("/"):
            raise UsageError(f"{where}: {key} {value!r} is not an absolute path")
    return Context(state_dir=state_dir, settings={**backend.defaults, **table})
