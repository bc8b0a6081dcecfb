"""The small durable record per dataset, `DATASET.report.json` beside its state files."""

import json
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import msgspec

from poststage.durable import atomic, fsops
from poststage.finalize.commit import now_text
from poststage.finalize.report import DatasetReport
from poststage.statefile.layout import report_name

_MAX = 8 << 20  # bytes; a thousand problems with long names fit


class _Document(msgspec.Struct, frozen=True):
    """What is looked at of the file; the rest is passed over without being built."""

    report: DatasetReport


def read(state_dir: Path, directory: bytes) -> DatasetReport | None:
    """The record of an earlier run; None if there is none that can be understood."""
    path = _path(state_dir, directory)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not fsops.is_regular(os.fstat(fd)):
            return None
        document = msgspec.json.decode(os.pread(fd, _MAX, 0), type=_Document)
        return _still(document.report)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    finally:
        os.close(fd)


def write(
    state_dir: Path, directory: bytes, report: DatasetReport, kept: DatasetReport | None
) -> OSError | None:
    """Keep `report`, unless `kept` says the same already; what went wrong, if anything."""
    if kept is not None and _still(kept) == _still(report):
        return None
    document = {"by": _by(), "time": now_text(), "report": msgspec.to_builtins(report)}
    content = json.dumps(document, indent=1).encode("ascii") + b"\n"
    parent, name = os.path.split(_path(state_dir, directory))
    try:
        fd = fsops.open_dir(parent)
        try:
            atomic.replace_file(fd, name, content)
        finally:
            os.close(fd)
    except OSError as error:
        text = f"the report is not written: {error.strerror}"
        return OSError(error.errno, text, os.path.join(parent, name))
    return None


def _still(report: DatasetReport) -> DatasetReport:
    """`report` without what differs between two runs that find the same."""
    return msgspec.structs.replace(report, changed=0)


def _path(state_dir: Path, directory: bytes) -> bytes:
    return os.path.join(os.fsencode(state_dir), report_name(directory))


def _by() -> dict[str, Any]:
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return {"uid": uid, "user": user, "host": socket.gethostname(), "pid": os.getpid()}
