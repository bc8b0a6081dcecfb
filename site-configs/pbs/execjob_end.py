"""PBS hook, event execjob_end: finalize what a job's agents registered, in the background.

pbs_mom runs it as root in its own Python when all of the job's processes on the node are gone, on
every node of the job; the first one alone starts the finalizer, which asks PBS whether the job is
over everywhere or goes back to the queue. A hook that waited for that would hold the job's end up,
and be killed at its alarm.
"""

import os
import subprocess

import pbs  # type: ignore[import-not-found]  # PBS's own; it is there inside pbs_mom alone

bin = "/opt/poststage/bin"
site = "/etc/poststage/site.toml"
log = "/var/log/poststage"
deadline_s = 86400

RUNS = 75  # exit status of `finalize --detach` while it runs


def main() -> None:
    """Start the finalizer on the job's first node; what goes wrong is in MoM's log."""
    job = pbs.event().job
    if not job.in_ms_mom():
        return
    words = ["--detach", "--scheduler", "pbs", "--job", str(job.id), "--user", str(job.euser)]
    words += ["--site", site, "--deadline", str(deadline_s)]
    try:
        status = started([f"{bin}/finalize", *words], str(job.id))
    except OSError as error:
        pbs.logmsg(pbs.LOG_ERROR, f"poststage: {job.id}: {error}")
        return
    if status != RUNS:
        pbs.logmsg(pbs.LOG_ERROR, f"poststage: finalize of {job.id}: status {status}")


def started(command: "list[str]", job: str) -> int:
    """Exit status of `command`, whose output goes to the job's log. Raises OSError."""
    os.makedirs(log, 0o700, exist_ok=True)
    env = {"PATH": "/opt/pbs/bin:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    with open(os.path.join(log, f"{job}.log"), "ab") as out:
        return subprocess.call(
            command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/"
        )


main()
pbs.event().accept()
