"""The finalizer as a function of JSON-able arguments, started as a bad hook would start it."""

import signal
from collections.abc import Sequence

from poststage.cli.main import finalize_main

BLOCKED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGALRM", "SIGCHLD")


def finalize(state_dir: str, site: str, options: Sequence[str]) -> None:
    """`finalize --dir STATE_DIR --json OPTIONS`; never returns."""
    finalize_main(["--dir", state_dir, "--site", site, "--json", *options])


def finalize_with_blocked_signals(state_dir: str, site: str, options: Sequence[str]) -> None:
    """The same, with signals blocked and SIGCHLD ignored, as a scheduler's hook may inherit it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.Signals[name] for name in BLOCKED})
    finalize(state_dir, site, options)
