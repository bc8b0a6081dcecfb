"""`python -m poststage.emulator`: the emulator's daemon, as `poststage emulator start` makes it."""

import argparse
from pathlib import Path

from poststage.copier.daemon import Plan, become
from poststage.emulator.held import HeldBuffer
from poststage.emulator.manners import EmulatorManners


def main() -> None:
    """Become the daemon that the arguments describe."""
    parser = argparse.ArgumentParser(prog="poststage.emulator")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--burst-buffer", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prove-bytes", type=int, default=1 << 30)
    options = parser.parse_args()

    def manners(root_fd: int) -> EmulatorManners:
        return EmulatorManners(root_fd, HeldBuffer(root_fd, options.burst_buffer))

    become(
        Plan(
            root=options.root,
            program="poststage.emulator",
            make_manners=manners,
            threads=options.threads,
            prove_bytes=options.prove_bytes,
        )
    )


if __name__ == "__main__":
    main()
