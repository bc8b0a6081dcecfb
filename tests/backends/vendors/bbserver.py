"""A stub of IBM's bbServer: what the stub library and the stub bbcmd ask, a line each.

usage: python -m tests.backends.vendors.bbserver ROOT

`handle JOB STEP CONTRIB TAG`, `start HANDLE SOURCE:TARGET…` (hex), `cancel HANDLE`,
`list JOB STEP MASK`, `info HANDLE`. The reply: an errno, then what was asked for.
"""

import errno
import sys
from pathlib import Path

from tests.backends.vendors.machine import Machine
from tests.backends.vendors.serving import serve

STATUS = {"new": 1, "running": 2, "partial": 4, "done": 8, "cancelled": 0x10, "failed": 0x20}


def reply(machine: Machine, line: str) -> str:
    """The answer to one line."""
    verb, *words = line.split()
    if verb == "handle":
        return _handle(machine, *map(int, words))
    if verb == "list":
        job, step, mask = map(int, words)
        mine = [
            number
            for number, one in machine.transfers.items()
            if one["job"] == job and step in {one["step"], -1} and STATUS[one["state"]] & mask
        ]
        return " ".join(map(str, [0, *mine]))
    number = int(words[0])
    one = machine.transfers.get(number)
    if one is None:
        return str(errno.ENOENT)
    if verb == "start":
        if one["state"] != "new":
            return str(errno.EALREADY if one["state"] != "cancelled" else errno.ECANCELED)
        machine.start(number, [word.split(":") for word in words[1:]])
    elif verb == "cancel":
        if STATUS[one["state"]] not in {1, 2}:
            return str(errno.EALREADY)
        machine.cancel(number)
    status = STATUS[one["state"]]
    facts = [0, number, one["contrib"], one["job"], one["step"], one["tag"], 1, status, 1, 0, 0]
    return " ".join(map(str, [*facts, status, 0]))


def _handle(machine: Machine, job: int, step: int, contrib: int, tag: int) -> str:
    facts = {"job": job, "step": step, "contrib": contrib, "tag": tag}
    for number, one in machine.transfers.items():
        if facts.items() <= one.items():
            return f"0 {number}"
    return f"0 {machine.make(**facts)}"


if __name__ == "__main__":
    serve(Path(sys.argv[1]), reply)
