"""Where events go for admins: stderr, syslog or a file, as `key=value` text or JSON lines."""

import json
import os
import sys
import syslog
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from poststage.durable import fsops, journal
from poststage.names import shown

_NAME = "poststage"


def line(event: Mapping[str, str], form: str) -> str:
    """`event` as one line, `text` or `json`; its values are plain ASCII (see finalize.events)."""
    if form == "json":
        return json.dumps(dict(event))
    return " ".join(f"{key}={_quoted(text)}" for key, text in event.items())


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or "=" in text else text


def write(events: Iterable[Mapping[str, str]], *, to: str, form: str) -> str:
    """Log `events`; what went wrong, or "". A log that cannot be written stops nobody."""
    if to == "none":
        return ""
    lines = [line(event, form) for event in events]
    if to == "syslog":
        syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_DAEMON)
        for one in lines:
            syslog.syslog(syslog.LOG_INFO, one)
        return ""
    if to == "stderr":
        sys.stderr.write("".join(f"{one}\n" for one in lines))
        return ""
    return _appended(Path(to), lines)


def _appended(path: Path, lines: Iterable[str]) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        dir_fd = fsops.open_dir(os.fsencode(path.parent))
        try:
            fd = fsops.open_append(dir_fd, os.fsencode(path.name), mode=0o640)
        finally:
            os.close(dir_fd)
        try:
            for one in lines:
                journal.append(fd, f"{_stamped(one, stamp)}\n".encode("ascii", "replace"))
        finally:
            os.close(fd)
    except OSError as error:
        return f"log {shown(os.fsencode(path))}: cannot be written: {error.strerror}"
    return ""


def _stamped(text: str, stamp: str) -> str:
    """`text` with the time in front; syslog and a journal of stderr have their own."""
    return f'{{"time": "{stamp}", {text[1:]}' if text.startswith("{") else f"time={stamp} {text}"
