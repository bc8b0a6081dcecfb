"""Site TOML → frozen `Settings`, and where each value came from."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from poststage.errors import UsageError
from poststage.names import shown

SITE_FILE = Path("/etc/poststage/site.toml")
PACKAGED = Path(__file__).with_name("site.toml")
SCHEDULERS = ("none", "slurm", "flux", "lsf", "pbs")
_CHOICES = {
    "finalize.publish": ("file", "dataset"),
    "scheduler.name": SCHEDULERS,
    "log.format": ("text", "json"),
    "log.files": ("unpublished", "all"),
}
SECONDS_MAX = 2_000_000.0
"""The longest time that can be asked for, 23 days: epoll(7) counts milliseconds in 31 bits."""
_NUMBER_MAX = 1e9
_NOT_NEGATIVE = (
    "finalize.deadline_s",
    "finalize.jobs",
    "scheduler.timeout_s",
    "scheduler.margin_s",
    "report.script_timeout_s",
)
_ABSOLUTE = ("site.state_root", "report.script")


class Settings(Struct, frozen=True):
    """What a site has settled. Times in seconds."""

    site: str
    """`[site] name`: for messages."""
    backend: str
    """`[site] backend`: the one that agents use unless told otherwise."""
    allowed_backends: tuple[str, ...]
    """`[site] allowed_backends`: no other name is ever loaded."""
    publish: str
    """`[finalize] publish`: `file` (each as it is ready) or `dataset` (all or nothing)."""
    deadline_s: float
    """`[finalize] deadline_s`: how long finalize waits for running transfers."""
    jobs: int
    """`[finalize] jobs`: worker processes; 0 chooses."""
    trusted_state_dirs: tuple[str, ...]
    """`[finalize] trusted_state_dirs`: where root restores other owners, beside what is
    trusted by its permissions."""
    delete_incomplete: bool
    """`[finalize] delete_incomplete`: also what AXL wrote under its final name and left short."""
    ends_with_job: bool
    """`[agent] ends_with_job`: cancel what still runs when a job is gone, unless it says else."""
    state_root: str
    """`[site] state_root`: where agents register their STATEDIRs; "" for nowhere."""
    scheduler: str
    """`[scheduler] name`: whom to ask about jobs; one of SCHEDULERS."""
    timeout_s: float
    """`[scheduler] timeout_s`: after which it kills a post-stage program; 0 for never."""
    margin_s: float
    """`[scheduler] margin_s`: how long before that finalize is done."""
    log_to: str
    """`[log] to`: `none`, `stderr`, `syslog` or a file's absolute path."""
    log_format: str
    """`[log] format`: `text` or `json`."""
    log_files: str
    """`[log] files`: `unpublished`, or `all` for an event of each published file too."""
    report_script: str
    """`[report] script`: a program that is given each report; "" for none."""
    script_timeout_s: float
    """`[report] script_timeout_s`: after which it is killed."""
    backends: Mapping[str, Mapping[str, Any]]
    """`[backend.NAME]`: each backend's own table, as written."""
    origins: Mapping[str, str]
    """`section.key` → the file that the value came from."""
    path: Path = PACKAGED
    """The file in force."""


def site_file(option: Path | None = None, env: Mapping[str, str] = os.environ) -> Path:
    """The file in force: `--site`, `POSTSTAGE_SITE`, /etc/poststage/site.toml, the packaged one."""
    if option is not None:
        return option
    if env.get("POSTSTAGE_SITE"):
        return Path(env["POSTSTAGE_SITE"])
    return SITE_FILE if SITE_FILE.exists() else PACKAGED


def load(option: Path | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force; what the site's file leaves out is the packaged default.

    Raises:
        UsageError: the file is not there, is no TOML, or has a key or value that is not known.
    """
    path = site_file(option, env)
    packaged = _read(PACKAGED)
    chosen = {} if path == PACKAGED else _read(path)
    values, origins = _flat(packaged), dict.fromkeys(_flat(packaged), "packaged default")
    _check_sections(path, chosen, packaged)
    for key, value in _flat(chosen).items():
        _check(path, key, value, values)
        values[key], origins[key] = value, str(path)
    tables = chosen.get("backend", {})
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: backend.{shown(name)} is not a table")
        origins.update({f"backend.{name}.{key}": str(path) for key in table})
    settings = Settings(
        site=values["site.name"],
        backend=values["site.backend"],
        allowed_backends=tuple(values["site.allowed_backends"]),
        publish=values["finalize.publish"],
        deadline_s=float(values["finalize.deadline_s"]),
        jobs=values["finalize.jobs"],
        trusted_state_dirs=tuple(values["finalize.trusted_state_dirs"]),
        delete_incomplete=values["finalize.delete_incomplete"],
        ends_with_job=values["agent.ends_with_job"],
        state_root=values["site.state_root"],
        scheduler=values["scheduler.name"],
        timeout_s=float(values["scheduler.timeout_s"]),
        margin_s=float(values["scheduler.margin_s"]),
        log_to=values["log.to"],
        log_format=values["log.format"],
        log_files=values["log.files"],
        report_script=values["report.script"],
        script_timeout_s=float(values["report.script_timeout_s"]),
        backends=MappingProxyType(tables),
        origins=MappingProxyType(origins),
        path=path.absolute(),
    )
    _check_values(path, values)
    _check_tables(path, tables, values["site.allowed_backends"])
    return settings


def unknown_key(path: Path, key: str, known: Iterable[str]) -> UsageError:
    """The error for a key that is not known, with the nearest known one."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return UsageError(
        f"{path}: unknown key {shown(key)}",
        hint=f"did you mean {near[0]}?" if near else "it takes no settings",
    )


def check_type(path: Path, key: str, value: object, default: object) -> None:
    """Raise UsageError unless `value` has the type of `default` (a whole number is a float too)."""
    wanted = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(default, bool):
        raise UsageError(f"{path}: {key} is {value!r}, not a {type(default).__name__}")
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: {key} is not a list of strings")


def check_number(path: Path, key: str, value: float, least: float = 0) -> None:
    """Raise UsageError unless `value` is from `least` to what its unit allows; NaN never is."""
    if not least <= value <= most(key):
        raise UsageError(f"{path}: {key} is {value}, not from {least:g} to {most(key):g}")


def most(key: str) -> float:
    """The most that the number `key` can be, in its own unit."""
    return SECONDS_MAX if key.endswith("_s") else _NUMBER_MAX


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: site settings cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not a TOML file: {error}") from error


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`section.key` → value, the backends' own tables left out."""
    flat: dict[str, Any] = {}
    for section, table in tree.items():
        if section == "backend" and isinstance(table, dict):
            continue
        if isinstance(table, dict):
            flat.update({f"{section}.{key}": value for key, value in table.items()})
        else:
            flat[section] = table
    return flat


def _check_sections(path: Path, chosen: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise UsageError for a section that is not known, be it empty, or is no section."""
    for name, table in chosen.items():
        if name in {*known, "backend"}:
            if not isinstance(table, dict):
                raise UsageError(f"{path}: {name} is {table!r}, not a table")
        elif name in known["site"]["allowed_backends"]:
            raise UsageError(
                f"{path}: unknown section {shown(name)}", hint=f"did you mean [backend.{name}]?"
            )
        elif isinstance(table, dict) and not table:
            raise unknown_key(path, name, [*known, "backend"])


def _check_tables(path: Path, tables: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for name in tables:
        if name not in allowed:
            raise unknown_key(path, f"backend.{name}", [f"backend.{one}" for one in allowed])


def _check(path: Path, key: str, value: object, known: Mapping[str, Any]) -> None:
    if key not in known:
        raise unknown_key(path, key, known)
    check_type(path, key, value, known[key])


def _check_values(path: Path, values: Mapping[str, Any]) -> None:
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            raise UsageError(
                f"{path}: {key} is {values[key]!r}", hint=f"use one of {', '.join(choices)}"
            )
    if values["site.backend"] not in values["site.allowed_backends"]:
        raise UsageError(
            f"{path}: site.backend {values['site.backend']!r} is not among site.allowed_backends"
        )
    for key in _NOT_NEGATIVE:
        check_number(path, key, values[key])
    for key in _ABSOLUTE:
        if values[key] and not values[key].startswith("/"):
            raise UsageError(f"{path}: {key} {values[key]!r} is not an absolute path")
    to = values["log.to"]
    if to not in {"none", "stderr", "syslog"} and not to.startswith("/"):
        raise UsageError(
            f"{path}: log.to is {to!r}", hint="use none, stderr, syslog or a file's absolute path"
        )


def values_of(settings: Settings) -> dict[str, Any]:
    """`section.key` → value in force, in the order of the packaged file; no backend's own."""
    special = {"site.name": "site", "scheduler.name": "scheduler"}
    special |= {f"log.{key}": f"log_{key}" for key in ("to", "format", "files")}
    special |= {"report.script": "report_script"}
    keys = _flat(_read(PACKAGED))
    return {key: getattr(settings, special.get(key, key.partition(".")[2])) for key in keys}
