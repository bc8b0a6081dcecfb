"""`finalize --detach`: see that a finalizer runs in the background, and tell how it stands."""

from pathlib import Path
from typing import Any

from poststage import config
from poststage.cli import detached, runs
from poststage.cli.owner import become_owner
from poststage.errors import ExitCode, UsageError, worst
from poststage.finalize.reason import meaning


def see_to_it(
    settings: config.Settings, *, state_dirs: tuple[Path, ...], **options: Any
) -> tuple[int, str]:
    """Exit status and reason; 75 while it runs. One that is not there is started.

    As root it becomes the owner first, for good. Without a word of an earlier one that is newer
    than what is open, a killed one is started again.

    Raises:
        UsageError: no STATEDIR was named, or root named several.
        PoststageError: a STATEDIR cannot be opened.
    """
    if options["dry_run"] or not state_dirs:
        raise UsageError(
            "finalize --detach: needs --dir, and takes no --dry-run; nothing was started",
        )
    if len(state_dirs) == 1:
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
    detached.start(state_dir, _arguments(state_dir, settings, options))
    return detached.Stands(ExitCode.RUN_AGAIN, "a finalizer was started", running=True)


def _arguments(state_dir: Path, settings: config.Settings, options: dict[str, Any]) -> list[str]:
    """The command line of the one in the background."""
    asked = runs.Asked((state_dir,), options["scheduler"], options["job"])
    limit_s = options["deadline_s"]
    words = [
        "--detached",
        f"--dir={state_dir}",
        f"--deadline={runs.seconds(asked, settings) if limit_s is None else limit_s}",
        f"--site={settings.path}",
        "--wait" if options["wait"] else "--no-wait",
    ]
    if options["requeued"]:
        words.append("--requeued")
    for name in ("scheduler", "job", "publish", "jobs"):
        if options[name] is not None:
            words.append(f"--{name}={options[name]}")
    return words
