"""`python -m poststage.copier`: the plain copying daemon, as the `local` backend starts it."""

import argparse
from pathlib import Path

from poststage.copier.daemon import Plan, become
from poststage.copier.manners import Plain


def main() -> None:
    """Become the daemon that the arguments describe."""
    parser = argparse.ArgumentParser(prog="poststage.copier")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bytes-per-s", type=float, default=0.0)
    parser.add_argument("--prove-bytes", type=int, default=1 << 30)
    parser.add_argument("--idle-s", type=float, default=0.0)
    options = parser.parse_args()
    become(
        Plan(
            root=options.root,
            program="poststage.copier",
            make_manners=lambda _: Plain(options.bytes_per_s),
            threads=options.threads,
            prove_bytes=options.prove_bytes,
            idle_s=options.idle_s,
        )
    )


if __name__ == "__main__":
    main()
