"""The site configurations that are shipped, and their hooks with a site's own values filled in.

A hook is a program that works as it stands, with its settings as assignments `key = value` near
its top, in whatever language: filling in replaces values there and nothing else.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from poststage.config import PACKAGED, Settings
from poststage.errors import UsageError
from poststage.names import shown

_CONFIGS = Path(__file__).with_name("configs")
_TOML = "site.toml"
_README = "README.md"
_ASSIGNMENT = r'(?m)^(\s*{key}\s*=\s*)("[^"\n]*"|[0-9.]+|true|false|True|False)'
_ANY = re.compile(_ASSIGNMENT.format(key=r"([a-z_]+)"))
_PLAIN = re.compile(r"[A-Za-z0-9/._+,@:=~%-]*")  # needs no quoting in any of the languages
_LINES = 40  # the settings stand within so many lines from the top


class Kind(Struct, frozen=True):
    """One folder of site-configs."""

    name: str
    title: str
    """What it is for, in a line."""
    hooks: tuple[str, ...]
    """Names of its hooks."""


def kinds() -> list[Kind]:
    """All of them, by name."""
    return [_kind(path) for path in sorted(_CONFIGS.iterdir()) if (path / _README).is_file()]


def toml_of(kind: str) -> Path:
    """The TOML that a site of this kind starts from. Raises UsageError for no such kind."""
    return _folder(kind) / _TOML


def hook(name: str, values: Mapping[str, str]) -> str:
    """The hook `KIND` or `KIND/FILE` with `values` filled in; others stay as they are.

    Raises:
        UsageError: no such hook, or it has no such setting, or a value that it cannot hold.
    """
    path = _hook_path(name)
    text = path.read_text(encoding="utf-8")
    known = set(settings_of(text))
    for key, value in values.items():
        if key not in known:
            raise UsageError(
                f"hook {shown(name)}: has no setting {shown(key)}; nothing was printed",
                hint=f"it has {', '.join(sorted(known))}",
            )
        text = _filled(text, key, value)
    return text


def settings_of(text: str) -> dict[str, str]:
    """The settings of a hook and their values, as its text has them."""
    top = "\n".join(text.splitlines()[:_LINES])
    return {match[2]: match[3].strip('"') for match in _ANY.finditer(top)}


def values_for(name: str, settings: Settings) -> dict[str, str]:
    """What this installation and this site's settings say for the hook `name`."""
    values = {"bin": str(Path(sys.executable).parent.absolute())}
    if settings.path != PACKAGED:
        values["site"] = str(settings.path)
    if settings.timeout_s:
        values["deadline_s"] = f"{max(0.0, settings.timeout_s - settings.margin_s):g}"
    values["registered"] = str(bool(settings.state_root)).lower()
    known = settings_of(_hook_path(name).read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key in known}


def _filled(text: str, key: str, value: str) -> str:
    if not _PLAIN.fullmatch(value):
        raise UsageError(
            f"setting {key}: {shown(value)!r} has characters that a hook cannot hold",
            hint="install poststage and its settings under a plain path",
        )

    def put(match: re.Match[str]) -> str:
        return match[1] + (f'"{value}"' if match[2].startswith('"') else value)

    return re.sub(_ASSIGNMENT.format(key=key), put, text, count=1)


def _kind(path: Path) -> Kind:
    first = (path / _README).read_text(encoding="utf-8").partition("\n")[0]
    plain = {_README, _TOML}
    hooks = sorted(one.name for one in path.iterdir() if one.is_file() and one.name not in plain)
    return Kind(path.name, first.lstrip("# ").strip(), tuple(hooks))


def _folder(kind: str) -> Path:
    found = {one.name for one in kinds()}
    if kind not in found:
        raise UsageError(
            f"site configuration {shown(kind)}: is not known",
            hint=f"there are {', '.join(sorted(found))}",
        )
    return _CONFIGS / kind


def _hook_path(name: str) -> Path:
    kind, _, file = name.partition("/")
    folder = _folder(kind)
    hooks = _kind(folder).hooks
    if not file and len(hooks) == 1:
        return folder / hooks[0]
    if file not in hooks:
        all_of_it = ", ".join(f"{kind}/{one}" for one in hooks) or "none"
        raise UsageError(f"hook {shown(name)}: is not known", hint=f"its hooks: {all_of_it}")
    return folder / file
