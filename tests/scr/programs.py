"""`finalize --scr` as a function of JSON-able arguments, for the fork server."""

import json
from pathlib import Path

from poststage import config
from poststage.errors import ExitCode, PoststageError
from poststage.finalize import options_of
from poststage.finalize.report import to_json
from poststage.scr.run import finalize_scr


def finalize(prefix: str) -> int:
    """End every pending dataset of `prefix`; the exit status."""
    try:
        report = finalize_scr(Path(prefix), options_of(config.load(), wait=False, jobs=1))
    except PoststageError as error:
        print(error.message)
        return int(error.exit_code)
    except OSError as error:  # as `cli.common.exit_on_error` has it
        print(error)
        return int(ExitCode.RUN_AGAIN)
    print(json.dumps(to_json(report)))
    return int(report.exit_code)
