"""The real commands as functions of JSON-able arguments, for the fork server."""

import pkgutil

import poststage
from poststage.cli.main import finalize_main

# What is imported when it is first used: a process that has given up root may not be able
# to read the interpreter's files any more, so the server has it all beforehand.
MODULES = (
    "tests.crash.programs",
    "tests.crash.vendor",
    *sorted(
        one.name
        for one in pkgutil.walk_packages(poststage.__path__, "poststage.")
        if not one.name.endswith("__main__")
    ),
    "syslog",
    "xxhash",
)


def finalize(state_dir: str, site: str, publish: str) -> None:
    """`finalize --dir STATE_DIR --no-wait --json` as whoever runs this; never returns."""
    fixed = ("--no-wait", "--json", "--deadline", "20")
    finalize_main(["--dir", state_dir, "--site", site, "--publish", publish, *fixed])
