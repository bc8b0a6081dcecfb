"""The real commands as functions of JSON-able arguments, for the fork server."""

from poststage.cli.main import finalize_main


def finalize(state_dir: str, site: str, publish: str) -> None:
    """`finalize --dir STATE_DIR --no-wait --json` as whoever runs this; never returns."""
    fixed = ("--no-wait", "--json", "--deadline", "20")
    finalize_main(["--dir", state_dir, "--site", site, "--publish", publish, *fixed])
