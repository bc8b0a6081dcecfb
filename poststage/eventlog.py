"""Where events go for admins: stderr, syslog or a file, as `key=value` text or JSON lines."""

import json
import os
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


class Log:
    """A log that is open: processes that are forked from this one write to it too, as anybody.

    What goes wrong stops nobody, and is kept in `wrong`, "" for nothing.
    """

    def __init__(self, to: str, form: str) -> None:
        """`to` as `[log] to` of the settings, `form` as its `format`."""
        self._to, self._form, self._fd = to, form, -1
        self.wrong = ""
        if to == "syslog":
            syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_DAEMON)
        elif to.startswith("/"):
            try:
                self._fd = _opened(Path(to))
            except OSError as error:
                self._note(error)

    def write(self, events: Iterable[Mapping[str, str]]) -> None:
        """Log `events`, a line each. What several processes write at once is not mixed."""
        if self._to == "none" or (self._to.startswith("/") and self._fd < 0):
            return
        lines = [line(event, self._form) for event in events]
        if self._to == "syslog":
            for one in lines:
                syslog.syslog(syslog.LOG_INFO, one)
        elif self._to == "stderr":
            self._append(2, lines)
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._append(self._fd, [_stamped(one, stamp) for one in lines])

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, fd: int, lines: Iterable[str]) -> None:
        try:
            journal.append(fd, "".join(f"{one}\n" for one in lines).encode("ascii", "replace"))
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        self.wrong = f"log {shown(self._to)}: cannot be written: {error.strerror}"


def _opened(path: Path) -> int:
    dir_fd = fsops.open_dir(os.fsencode(path.parent))
    try:
        return fsops.open_append(dir_fd, os.fsencode(path.name), mode=0o640)
    finally:
        os.close(dir_fd)


def _stamped(text: str, stamp: str) -> str:
    """`text` with the time in front; syslog and a journal of stderr have their own."""
    return f'{{"time": "{stamp}", {text[1:]}' if text.startswith("{") else f"time={stamp} {text}"
