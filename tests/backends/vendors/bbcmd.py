"""A stub of IBM's bbcmd, in front of the stub bbServer: the same words, the same JSON.

Two nodes answer; the second knows of no transfer.
"""

import json
import os
import socket
import sys

NAMES = {"NOTSTARTED": 1, "INPROGRESS": 2, "PARTIALSUCCESS": 4, "FULLSUCCESS": 8}
NAMES |= {"CANCELED": 16, "FAILED": 32, "STOPPED": 64, "ALL": 255}


def asked(line: str) -> list[int]:
    """What bbServer answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.environ["BB_STUB_SOCKET"])
        with sock.makefile("rw") as stream:
            stream.write(line + "\n")
            stream.flush()
            return [int(word) for word in stream.readline().split()]


def main() -> int:
    """One command; its exit status."""
    words = sys.argv[1:]
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    (verb,) = [word for word in words if not word.startswith("--")]
    assert options["target"] == "0-"
    job, step = options["jobid"], options.get("jobstepid", "-1")
    try:
        rc, out = answer(verb, job, step, options)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    other = {"rc": "0", "out": {"numavailhandles": "0", "handles": "()"}}
    if verb != "gettransfers":
        other = {"rc": "2", "error": {"text": "no such transfer"}}
    document = {
        "0": {"rc": str(rc), "out": out},
        "1": other,
        "goodcount": str((rc == 0) + (other["rc"] == "0")),
        "failcount": str((rc != 0) + (other["rc"] != "0")),
        "rc": str(rc),
    }
    print(json.dumps(document))
    return 0


def answer(verb: str, job: str, step: str, options: dict[str, str]) -> tuple[int, dict[str, str]]:
    """`rc` and `out` of the first node."""
    if verb == "gettransfers":
        mask = sum(NAMES[name.removeprefix("BB")] for name in options["matchstatus"].split(","))
        rc, *handles = asked(f"list {job} {step} {mask}")
        some = handles[: int(options["numhandles"])]
        text = ",".join(map(str, some))
        return rc, {"numavailhandles": str(len(handles)), "handles": f"({text})"}
    assert options.get("scope", "BBSCOPETRANSFER") == "BBSCOPETRANSFER"
    rc, *facts = asked(f"{'cancel' if verb == 'cancel' else 'info'} {options['handle']}")
    if rc or str(facts[2]) != job:
        return rc or 2, {}
    names = {number: f"BB{name}" for name, number in NAMES.items()}
    out = {"handle": str(facts[0]), "contribid": str(facts[1]), "tag": str(facts[4])}
    out |= {"jobid": str(facts[2]), "jobstepid": str(facts[3])}
    return rc, out | {"status": names[facts[6]], "localstatus": names[facts[10]]}


if __name__ == "__main__":
    sys.exit(main())
