"""What options and arguments take. An empty one is most often a variable that is not set."""

import math
import os
from pathlib import Path
from typing import Any, Final

import click

# config's own; a page of help does not load the settings.
SECONDS_MAX: Final = 2_000_000.0
SCHEDULERS: Final = ("none", "slurm", "flux", "lsf", "pbs")
_EMPTY: Final = "it is empty, as a variable is that is not set; nothing was touched"


class UnseenPath(click.Path):
    """A path that is passed on without a look at it: its file system may not answer, and
    what cannot be read there has its own words and exit status. An empty one is refused."""

    def __init__(self, path_type: type[Path] | type[bytes] = Path) -> None:
        super().__init__(path_type=path_type)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """`value` as it was given, of the path type."""
        if not os.fspath(value):
            self.fail(_EMPTY, param, ctx)
        return self.coerce_path_result(value)


class Word(click.types.StringParamType):
    """Any text but none."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """`value` as it was given."""
        if not value:
            self.fail(_EMPTY, param, ctx)
        return str(value)


class Number(click.FloatRange):
    """A number from 0 to `most`, and a number it is: NaN is in no range and passes click's."""

    def __init__(self, most: float) -> None:
        super().__init__(min=0, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`value` as a float."""
        if math.isnan(float(super().convert(value, param, ctx))):
            self.fail("it is not a number; nothing was touched", param, ctx)
        return float(value)


PATH: Final = UnseenPath()
BYTES_PATH: Final = UnseenPath(bytes)
WORD: Final = Word()
SECONDS: Final = Number(SECONDS_MAX)
