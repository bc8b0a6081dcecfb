"""`python -m tests.fuzz TARGET CORPUS -runs=N …`: one target under libFuzzer, by atheris.

Its options are libFuzzer's. A crash leaves its input in the working directory.
"""

import sys

import atheris

with atheris.instrument_imports(include=["poststage"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the runs are over or a target raises; never returns."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
