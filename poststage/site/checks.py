"""What an admin wants to know before the first job: is all of it there, and who can reach it?"""

import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from poststage import backends
from poststage.backends.base import Probe
from poststage.config import Settings
from poststage.errors import PoststageError
from poststage.names import shown
from poststage.site import filesystem
from poststage.site.finding import Finding, fine, note, wrong

_NO_TAG = "0" * 16
_QUERIES = {"slurm": "squeue", "flux": "flux", "pbs": "qstat"}
_SYSLOG = Path("/dev/log")
_ASKS = "run this where the hook runs; finalize asks it whether a job's processes are gone"
_NO_SYSLOG = "start a syslog daemon, or set [log] to = a file's path, or none"
_NO_LOG = "make the directory, or set [log] to = another file"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def checks(settings: Settings, state_dirs: Sequence[Path], user: str | None) -> Iterator[Finding]:
    """Everything that can be looked at from this node, as who runs this."""
    yield fine("settings", f"{settings.path} is valid")
    yield from _backends(settings)
    yield from _deadline(settings)
    yield from _scheduler(settings)
    yield from _state_root(settings)
    yield from _reachable()
    yield from _told(settings)
    yield from _user(user)
    for path in state_dirs:
        yield from filesystem.checks(os.fsencode(path))


def _backends(settings: Settings) -> Iterator[Finding]:
    for name in settings.allowed_backends:
        what = f"backend {shown(name)}"
        try:
            loaded = backends.load(name, settings)
            probe = loaded.open_probe(backends.context(loaded, settings, Path("/")))
        except (PoststageError, ImportError, OSError) as error:
            yield wrong(what, str(error), _hint(error) or f"see [backend.{shown(name)}]")
            continue
        yield _answering(probe, what)


def _answering(probe: Probe, what: str) -> Finding:
    try:
        probe.find([_NO_TAG])
    except (PoststageError, OSError) as error:
        return note(what, str(error), _hint(error) or "start it, or run this where it answers")
    finally:
        probe.close()
    return fine(what, "answers")


def _hint(error: Exception) -> str:
    return error.hint if isinstance(error, PoststageError) else ""


def _deadline(settings: Settings) -> Iterator[Finding]:
    what, limit = "scheduler.timeout_s", settings.timeout_s
    if settings.scheduler == "none" or not limit:
        return
    ours = limit - settings.margin_s
    if ours <= 0:
        yield wrong(what, "leaves finalize no time at all", "raise it, or lower scheduler.margin_s")
    elif settings.deadline_s > ours:
        yield note(
            what,
            f"ends finalize after {ours:g} s, before finalize.deadline_s",
            "a transfer that runs longer has to be finalized again",
        )
    else:
        yield fine(what, f"finalize is done {limit - settings.deadline_s:g} s before it")


def _scheduler(settings: Settings) -> Iterator[Finding]:
    program = _QUERIES.get(settings.scheduler)
    if program is None:
        return
    what = f"scheduler {settings.scheduler}"
    paths = (os.path.join(one, program) for one in os.get_exec_path())
    found = next((path for path in paths if os.access(path, os.X_OK)), "")
    if found:
        yield fine(what, f"is asked with {found}")
    else:
        yield wrong(what, f"{program} is not in PATH", _ASKS)


def _state_root(settings: Settings) -> Iterator[Finding]:
    what = "site.state_root"
    if not settings.state_root:
        yield fine(what, "none: each STATEDIR has to be named with --dir")
        return
    make = f"where every node sees it, as root: install -d -m 1777 {shown(settings.state_root)}"
    try:
        info = os.stat(settings.state_root)
    except OSError as error:
        yield wrong(what, f"{settings.state_root}: {error.strerror}", make)
        return
    sticky = stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) & 0o1777 == 0o1777
    if sticky and info.st_uid == 0:
        yield fine(what, f"{settings.state_root} is fit for everybody")
    else:
        yield wrong(
            what,
            f"{settings.state_root}: uid {info.st_uid}, mode {stat.S_IMODE(info.st_mode):04o}",
            make,
        )


def _reachable() -> Iterator[Finding]:
    """Whether every user can run what this process runs: hooks become the job's owner."""
    for what, path in (
        ("interpreter", Path(sys.executable).resolve()),
        ("package", Path(__file__).resolve()),
        ("commands", Path(sys.executable).parent.absolute()),
    ):
        barred = next((one for one in path.parents if not _is_open(one)), None)
        if barred is None:
            yield fine(what, f"{path} can be reached by everybody")
        else:
            yield wrong(
                what,
                f"{path}: only some can pass {barred}",
                "install poststage with a system's Python, below /opt",
            )


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _told(settings: Settings) -> Iterator[Finding]:
    if settings.log_to == "syslog" and not _SYSLOG.exists():
        yield wrong("log.to", "no syslog listens on /dev/log", _NO_SYSLOG)
    elif settings.log_to.startswith("/") and not os.access(Path(settings.log_to).parent, os.W_OK):
        yield wrong("log.to", f"{settings.log_to}: its directory is not writable", _NO_LOG)
    if not settings.report_script:
        return
    path = settings.report_script
    if not os.access(path, os.X_OK):
        yield wrong("report.script", f"{path} cannot be run", f"chmod 755 {shown(path)}")
    elif os.stat(path).st_mode & _OTHERS_WRITE:
        fact = f"{path}: others than its owner can write it"
        yield wrong("report.script", fact, f"chmod go-w {shown(path)}")
    else:
        yield fine("report.script", f"{path} can be run")
    if settings.timeout_s and settings.script_timeout_s >= settings.margin_s:
        yield note(
            "report.script_timeout_s",
            f"{settings.script_timeout_s:g} s are not within scheduler.margin_s",
            "raise margin_s, else the scheduler may kill finalize while the script runs",
        )


def _user(user: str | None) -> Iterator[Finding]:
    if os.geteuid() != 0:
        yield note(
            "user",
            "this is not root: only its own STATEDIRs can be finalized",
            "run the hook as root, or let it become the job's owner with sudo",
        )
    if user is None:
        return
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        grp.getgrgid(entry.pw_gid)
    except (KeyError, OverflowError):
        yield wrong(
            f"user {shown(user)}", "is not known on this node", "let it know the site's users"
        )
        return
    yield fine(f"user {entry.pw_name}", f"uid {entry.pw_uid}, number of groups: {len(groups)}")
