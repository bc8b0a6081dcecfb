"""`finalize --detach`: see that a finalizer runs in the background, and tell how it stands."""

from pathlib import Path
from typing import Any

from poststage import config
from poststage.cli import detached, runs
from poststage.cli.owner import become_owner
from poststage.errors import ExitCode, UsageError, worst
from poststage.finalize.reason import meaning

_STARTED = detached.Stands(ExitCode.RUN_AGAIN, "a finalizer was started", running=True)


def see_to_it(
    settings: config.Settings, *, state_dirs: tuple[Path, ...], **options: Any
) -> tuple[int, str]:
    """Exit status and reason; 75 while it runs. One that is not there is started.

    As root it becomes the owner first, for good. Without a word of an earlier one that is newer
    than what is open, a killed one is started again. Without a STATEDIR one is started at every
    call, for what the job has registered.

    Raises:
        UsageError: neither a STATEDIR nor a job was named.
        PoststageError: a STATEDIR cannot be opened.
    """
    if options["dry_run"] or not (state_dirs or options["job"]):
        raise UsageError(
            "finalize --detach: needs --dir or --job, and takes no --dry-run; nothing was started"
        )
    if not state_dirs:
        detached.spawn(_arguments(settings, options))
        return int(_STARTED.code), _STARTED.reason
    become_owner(state_dirs[0], settings, user=options["user"])
    found = [_seen_to(path.absolute(), settings, options) for path in state_dirs]
    code = worst({one.code for one in found})
    reason = next(one.reason for one in found if one.code is code)
    return int(code), reason or meaning(code)


def _seen_to(
    state_dir: Path, settings: config.Settings, options: dict[str, Any]
) -> detached.Stands:
    stands = detached.stands(state_dir)
    if stands.code is not ExitCode.RUN_AGAIN or stands.running:
        return stands
    words = ["--detached", f"--dir={state_dir}", *_arguments(settings, {**options, "user": None})]
    detached.start(state_dir, words)
    return _STARTED


def _arguments(settings: config.Settings, options: dict[str, Any]) -> list[str]:
    """The command line of the one in the background, but for its STATEDIR."""
    asked = runs.Asked((), options["scheduler"], options["job"], None, options["deadline_s"])
    words = [
        f"--deadline={runs.seconds(asked, settings)}",
        f"--site={settings.path}",
        "--wait" if options["wait"] else "--no-wait",
    ]
    words += ["--requeued"] if options["requeued"] else []
    for name in ("scheduler", "job", "user", "publish", "jobs"):
        if options[name] is not None:
            words.append(f"--{name}={options[name]}")
    return words
