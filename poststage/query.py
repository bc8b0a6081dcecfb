"""Asking another program, a scheduler's or a vendor's: bounded in time and output, no shell."""

import os
import subprocess

from msgspec import Struct

_TIMEOUT_S = 20.0
_TEXT_MAX = 64 << 10
# A hook's environment may hold nothing, and an admin's anything.
_KEPT = ("SLURM_CONF", "FLUX_URI", "LSF_ENVDIR", "PBS_CONF_FILE", "LANG")
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/pbs/bin"


class Answered(Struct, frozen=True):
    """What a query command printed; `status` -1 if it could not be run or did not end."""

    status: int
    out: str
    error: str


def ask(*command: str, timeout_s: float = _TIMEOUT_S, most_bytes: int = _TEXT_MAX) -> Answered:
    """Run `command` to its end. Never raises; `error` tells why there is no answer.

    Of what it prints the first `most_bytes` are kept.
    """
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    env["PATH"] = f"{os.environ['PATH']}:{_PATH}" if os.environ.get("PATH") else _PATH
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=env,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fact = error.strerror if isinstance(error, OSError) else f"no answer in {timeout_s:g} s"
        return Answered(-1, "", f"{command[0]}: {fact}")
    out, err = (raw[:most_bytes].decode("utf-8", "replace") for raw in (ended.stdout, ended.stderr))
    first = next(iter(err.strip().splitlines()), "")
    return Answered(ended.returncode, out, f"{command[0]}: {first or 'no word'}")
