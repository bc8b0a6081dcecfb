"""A stub of DataWarp's service: what the stub libdatawarp asks, a line each.

usage: python -m tests.backends.vendors.dwserver ROOT

`stage SOURCE TARGET`, `query SOURCE`, `terminate SOURCE`, names in hex. The reply: an errno, then
for `query` the numbers complete, pending, deferred and failed of that path. Sources with what is
in the file ROOT/refuse are refused.
"""

import errno
import sys
from pathlib import Path

from tests.backends.vendors.machine import Machine
from tests.backends.vendors.serving import serve


def reply(machine: Machine, line: str) -> str:
    """The answer to one line."""
    verb, *names = line.split()
    mine = [
        number
        for number, one in machine.transfers.items()
        if one["files"] and one["files"][0][0] == names[0]
    ]
    states = [machine.transfers[number]["state"] for number in mine]
    if verb == "query":
        counts = [states.count("done"), states.count("running"), 0, states.count("failed")]
        return " ".join(map(str, [0, *counts]))
    if verb == "terminate":
        for number in mine:
            machine.cancel(number)
        return "0" if "running" in states else str(errno.EINVAL)
    refuse = machine.root / "refuse"
    if refuse.exists() and refuse.read_bytes().hex() in names[0]:
        return str(errno.ENOSPC)
    if not Path(bytes.fromhex(names[0]).decode("utf-8", "surrogateescape")).exists():
        return str(errno.ENOENT)
    machine.start(machine.make(), [names])
    return "0"


if __name__ == "__main__":
    serve(Path(sys.argv[1]), reply)
